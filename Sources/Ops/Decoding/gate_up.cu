// The first half of an MLP: h = SiLU(g) · u with g = n W_gᵀ, u = n W_uᵀ, n = rms norm of the stream.
//
// A unit is four rows of W_g and the same four of W_u, so that both are in one block. Grid: any number of blocks.

struct Pair {
    const element *gate, *up;
    int count;
    DEVICE const element *operator()(int unit, int row) const {
        int own = unit * 4 + row % 4;
        return own < count ? (row < 4 ? gate : up) + (i64)own * INPUTS : nullptr;
    }
    DEVICE const element *anything() const { return gate; }
};

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
NAMED(decoding_gate_up)
(element *hidden, const float *stream, const float *norm, float eps, const element *gate, const element *up,
 int count) {
    Pair rows = {gate, up, count};
    int units = (count + 3) / 4;
    Product<Pair> product(rows, units, shared_memory());
    let_next_kernel_start();
    wait_for_kernel_before();
    load_normalised(product.shared.x, stream, norm, eps);
    for (int first = blockIdx.x; first < units; first += UNITS * gridDim.x) {
        int done = product.round(first);
        for (int i = threadIdx.x; i < done * 4 * BATCH; i += THREADS) {
            int index = i / (4 * BATCH), b = i / 4 % BATCH, row = i % 4;
            int own = (first + index * gridDim.x) * 4 + row;
            float g = product.sum(index, b, row), u = product.sum(index, b, row + 4);
            if (own < count) from_float(&hidden[(i64)b * count + own], silu(g) * u);
        }
        __syncthreads();
    }
}
