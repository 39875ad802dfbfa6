// y[r, o] = alpha Σ_d x[r, d] W[o, d] for ROWS rows r, results of type OUT: what decoding asks for. Bound by reading W once;
// a warp owns an output and all rows, each lane 16 bytes of W at a time.

extern "C" __global__ void __launch_bounds__(128) small_product(
    OUT *y, const uint4 *x, const uint4 *w, int outputs, int vectors, float alpha) {
    int output = blockIdx.x * 4 + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (output >= outputs) return;
    w += (i64)output * vectors;
    float sums[ROWS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) sums[r] = 0;
#pragma unroll 4
    for (int i = lane; i < vectors; i += 32) {
        uint4 b = w[i];
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            uint4 a = x[(i64)r * vectors + i];
            sums[r] += low_half(a.x) * low_half(b.x) + high_half(a.x) * high_half(b.x) + low_half(a.y) * low_half(b.y)
                     + high_half(a.y) * high_half(b.y) + low_half(a.z) * low_half(b.z) + high_half(a.z) * high_half(b.z)
                     + low_half(a.w) * low_half(b.w) + high_half(a.w) * high_half(b.w);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float sum = warp_sum(sums[r]);
        if (lane == 0) from_float(&y[(i64)r * outputs + output], alpha * sum);
    }
}
