// The first half of an MLP: h = SiLU(g) · u with g = x W_gᵀ, u = x W_uᵀ; h [batch, count].
//
// Of every eight rows of a block four are of W_g and the same four of W_u. Grid: ⌈count / (WEIGHT_ROWS / 2)⌉.
extern "C" __global__ void __launch_bounds__(THREADS, 1)
NAMED(decoding_wide_gate_up)
(element *hidden, const element *x, const element *gate, const element *up, int count, int batch) {
    int first = blockIdx.x * (WEIGHT_ROWS / 2), group = lane_id() >> 2, row = first + group % 4;
    WideProduct product((group < 4 ? gate : up) + (i64)row * INPUTS, 4 * INPUTS, (count - row + 3) / 4, x, batch, 0);
    product.run();
    for (int i = threadIdx.x; i < batch * (WEIGHT_ROWS / 2); i += THREADS) {
        int b = i / (WEIGHT_ROWS / 2), own = i % (WEIGHT_ROWS / 2), at = own / 4 * 8 + own % 4;
        float g = product.sum(b, at), u = product.sum(b, at + 4);
        if (first + own < count) from_float(&hidden[(i64)b * count + first + own], silu(g) * u);
    }
}
