// y [batch, stride] = x Wᵀ in float32, of all columns. Grid: ⌈count / WEIGHT_ROWS⌉.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
NAMED(decoding_wide_project)
(float *y, const element *x, const element *weight, int count, int batch, int stride) {
    int first = blockIdx.x * WEIGHT_ROWS;
    WideProduct product = of_one_matrix(weight, count, first, x, batch, 0);
    product.run();
    for (int i = threadIdx.x; i < batch * WEIGHT_ROWS; i += THREADS) {
        int b = i / WEIGHT_ROWS, row = i % WEIGHT_ROWS;
        if (first + row < count) y[(i64)b * stride + first + row] = product.sum(b, row);
    }
}
