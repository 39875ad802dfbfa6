// The second half of an MLP, added to the stream: s += h W_dᵀ. h [BATCH, INPUTS]. Grid: any number of blocks.
extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
NAMED(decoding_down)
(float *stream, const element *hidden, const element *weight, int count) {
    OneMatrix rows = {weight, count};
    Product<OneMatrix> product(rows, (count + 7) / 8, shared_memory());
    let_next_kernel_start();
    wait_for_kernel_before();
    load_plain(product.shared.x, hidden);
    add_to_stream(product, stream);
}
