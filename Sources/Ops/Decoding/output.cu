// What a mixer computes after the recurrence, added to the stream: norm of every head, output gate, projection.
//
//     s += (rms(o) · w · SiLU(g)) W_oᵀ
//
// o [BATCH, heads, VALUE_DIM]; the gate lies at `gate` [BATCH, gate_stride]. Macros: VALUE_DIM, HAS_NORM, HAS_GATE;
// INPUTS = heads · VALUE_DIM. Grid: any number of blocks.

// A warp a head.
DEVICE void load_heads(element *x, const float *o, const float *gate, int gate_stride, const float *weight, float eps) {
    constexpr int HEADS = INPUTS / VALUE_DIM, VECTORS = VALUE_DIM / 4, EACH = (VECTORS + 31) / 32;
    clear_behind_rows(x);
#pragma unroll 1
    for (int item = threadIdx.x >> 5; item < BATCH * HEADS; item += BLOCK_WARPS) {
        int b = item / HEADS, head = item % HEADS;
        const float4 *from = (const float4 *)(o + (i64)item * VALUE_DIM);
        const float4 *gates = (const float4 *)(gate + (i64)b * gate_stride + head * VALUE_DIM);
        float4 values[EACH], z[EACH], scale[EACH];
        float sum = 0;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int vector = i * 32 + lane_id();
            bool in_head = vector < VECTORS;
            values[i] = in_head ? from[vector] : make_float4(0, 0, 0, 0);
            if (HAS_GATE) z[i] = in_head ? gates[vector] : values[i];
            if (HAS_NORM) scale[i] = in_head ? ((const float4 *)weight)[vector] : values[i];
            sum += values[i].x * values[i].x + values[i].y * values[i].y + values[i].z * values[i].z
                 + values[i].w * values[i].w;
        }
        float r = HAS_NORM ? 1.0f / sqrtf(warp_sum(sum) / VALUE_DIM + eps) : 1.0f;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int vector = i * 32 + lane_id();
            if (vector >= VECTORS) continue;
            Floats<4> y = {values[i].x, values[i].y, values[i].z, values[i].w};
            if (HAS_NORM)
                y.at[0] *= r * scale[i].x, y.at[1] *= r * scale[i].y, y.at[2] *= r * scale[i].z,
                    y.at[3] *= r * scale[i].w;
            if (HAS_GATE)
                y.at[0] *= silu(z[i].x), y.at[1] *= silu(z[i].y), y.at[2] *= silu(z[i].z), y.at[3] *= silu(z[i].w);
            store_vector(x + b * X_PITCH + head * VALUE_DIM + vector * 4, y);
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(THREADS, MIN_BLOCKS)
NAMED(decoding_output)
(float *stream, const float *o, const float *gate, int gate_stride, const float *norm, float eps, const element *weight,
 int count) {
    OneMatrix rows = {weight, count};
    Product<OneMatrix> product(rows, (count + 7) / 8, shared_memory());
    let_next_kernel_start();
    wait_for_kernel_before();
    load_heads(product.shared.x, o, gate, gate_stride, norm, eps);
    add_to_stream(product, stream);
}
