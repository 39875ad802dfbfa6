// Parts of x Wᵀ, a slice of the columns each: y [SLICES, batch, count] in float32. Grid: ⌈count / WEIGHT_ROWS⌉ · SLICES.
// Macro of its own: SLICES of the columns.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
NAMED(decoding_wide_part)
(float *y, const element *x, const element *weight, int count, int batch) {
    int first = blockIdx.x / SLICES * WEIGHT_ROWS, slice = blockIdx.x % SLICES;
    WideProduct product = of_one_matrix(weight, count, first, x, batch, slice);
    product.run();
    for (int i = threadIdx.x; i < batch * WEIGHT_ROWS; i += THREADS) {
        int b = i / WEIGHT_ROWS, row = i % WEIGHT_ROWS;
        if (first + row < count) y[((i64)slice * batch + b) * count + first + row] = product.sum(b, row);
    }
}
