// Logits of a model: rms norm of the stream and its product with the head, in float32. Grid: any number of blocks.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
NAMED(decoding_head)
(float *logits, const float *stream, const float *norm, float eps, const element *weight, int count) {
    OneMatrix rows = {weight, count};
    int units = (count + 7) / 8;
    Product<OneMatrix> product(rows, units, shared_memory());
    let_next_kernel_start();
    wait_for_kernel_before();
    load_normalised(product.shared.x, stream, norm, eps);
    for (int first = blockIdx.x; first < units; first += UNITS * gridDim.x) {
        int done = product.round(first);
        for (int i = threadIdx.x; i < done * 8 * BATCH; i += THREADS) {
            int index = i / (8 * BATCH), b = i / 8 % BATCH, row = (first + index * gridDim.x) * 8 + i % 8;
            if (row < count) logits[(i64)b * count + row] = product.sum(index, b, i % 8);
        }
        __syncthreads();
    }
}
