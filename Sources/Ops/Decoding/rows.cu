// What stands between the products of more than eight sequences, and the look-up of the embeddings. Blocks of 256 threads
// where nothing else is said.

// s[b] = table[token[b]]; NaN for a token outside of the vocabulary. TABLE: the table's type. Grid: B.
extern "C" __global__ void NAMED(decoding_embed)
(float *stream, const int *tokens, const TABLE *table, int vocabulary, int width) {
    let_next_kernel_start();
    wait_for_kernel_before();
    int token = tokens[blockIdx.x];
    bool inside = token >= 0 && token < vocabulary;
    for (int i = threadIdx.x; i < width; i += 256)
        stream[(i64)blockIdx.x * width + i] =
            inside ? to_float(table[(i64)token * width + i]) : __int_as_float(0x7fc00000);
}

// s[b] += Σ parts[·, b] in their order, where there are any; y[b] = s[b] / rms(s[b]) · w. `parts` [slices, B, width]. Grid: B.
extern "C" __global__ void NAMED(decoding_normalise)
(element *y, float *stream, const float *parts, int slices, const float *weight, float eps, int width) {
    constexpr int HELD = 4; // vectors a thread keeps in registers; what is behind them is read again
    __shared__ float sums[8];
    int vectors = width / 4, b = blockIdx.x;
    float4 *row = (float4 *)(stream + (i64)b * width);
    float4 values[HELD], scale[HELD];
    float squares = 0;
    let_next_kernel_start();
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int vector = i * 256 + threadIdx.x;
        scale[i] = vector < vectors ? ((const float4 *)weight)[vector] : make_float4(0, 0, 0, 0);
    }
    wait_for_kernel_before();
    auto complete = [&](int vector) {
        float4 x = row[vector];
#pragma unroll 4
        for (int i = 0; i < slices; i++) {
            float4 part = ((const float4 *)parts)[((i64)i * gridDim.x + b) * vectors + vector];
            x.x += part.x, x.y += part.y, x.z += part.z, x.w += part.w;
        }
        if (slices > 0) row[vector] = x;
        squares += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
        return x;
    };
    auto store = [&](int vector, const float4 &x, const float4 &w, float r) {
        Floats<4> scaled = {x.x * r * w.x, x.y * r * w.y, x.z * r * w.z, x.w * r * w.w};
        store_vector(y + (i64)b * width + vector * 4, scaled);
    };
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int vector = i * 256 + threadIdx.x;
        values[i] = vector < vectors ? complete(vector) : make_float4(0, 0, 0, 0);
    }
    for (int vector = HELD * 256 + threadIdx.x; vector < vectors; vector += 256) complete(vector);
    float r = 1.0f / sqrtf(block_sum<8>(squares, sums) / width + eps);
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int vector = i * 256 + threadIdx.x;
        if (vector < vectors) store(vector, values[i], scale[i], r);
    }
    for (int vector = HELD * 256 + threadIdx.x; vector < vectors; vector += 256)
        store(vector, row[vector], ((const float4 *)weight)[vector], r);
}

// The short convolutions of q, k and v and their activations in place of their inputs `mixed` [B, stride], the windows
// shifted. TAPS: 0 without convolutions; ACTIVATION of q and k. Grid: ⌈B (2 key_width + value_width) / 256⌉.
extern "C" __global__ void NAMED(decoding_convolve)
(float *mixed, float *q_window, float *k_window, float *v_window, const float *q_filter, const float *k_filter,
 const float *v_filter, int batch, int stride, int key_width, int value_width) {
    let_next_kernel_start();
    int width = 2 * key_width + value_width, index = blockIdx.x * 256 + threadIdx.x;
    int b = index / width, column = index % width, part = column < key_width ? 0 : column < 2 * key_width ? 1 : 2;
    bool exists = b < batch;
    int channel = column - part * key_width, channels = part == 2 ? value_width : key_width;
    float *window = (part == 0 ? q_window : part == 1 ? k_window : v_window) + ((i64)b * channels + channel) * (TAPS - 1);
    const float *taps = (part == 0 ? q_filter : part == 1 ? k_filter : v_filter) + channel * TAPS;
    float past[TAPS > 1 ? TAPS - 1 : 1], filter[TAPS > 0 ? TAPS : 1];
#pragma unroll
    for (int j = 0; j < TAPS; j++) {
        filter[j] = exists ? taps[j] : 0.0f;
        if (j < TAPS - 1) past[j] = exists ? window[j] : 0.0f;
    }
    wait_for_kernel_before();
    if (!exists) return;
    float x = mixed[(i64)b * stride + column], y = x;
    if (TAPS > 0) {
        // y = Σ_j w_j x_{t − TAPS + 1 + j}
        y = filter[TAPS > 0 ? TAPS - 1 : 0] * x;
#pragma unroll
        for (int j = 0; j < TAPS - 1; j++) {
            y += filter[j] * past[j];
            window[j] = j + 1 < TAPS - 1 ? past[j + 1] : x;
        }
    }
    mixed[(i64)b * stride + column] = part < 2 ? activation_value<ACTIVATION>(y) : silu(y);
}

// y[b] = rms(o[b, head]) · w · SiLU(gate[b, head]): a warp a head. HAS_NORM, HAS_GATE. Any number of warps a block.
extern "C" __global__ void NAMED(decoding_heads)
(element *y, const float *o, const float *gate, int gate_stride, const float *weight, float eps, int batch, int heads,
 int value_dim) {
    constexpr int HELD = 4;
    let_next_kernel_start();
    wait_for_kernel_before();
    int item = (blockIdx.x * blockDim.x + threadIdx.x) / 32, vectors = value_dim / 4, lane = lane_id();
    if (item >= batch * heads) return;
    const float4 *from = (const float4 *)(o + (i64)item * value_dim);
    const float4 *gates = (const float4 *)(gate + (i64)(item / heads) * gate_stride + item % heads * value_dim);
    float4 values[HELD], gating[HELD], scale[HELD];
    float squares = 0;
    auto square = [](const float4 &x) { return x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w; };
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        int vector = i * 32 + lane;
        bool inside = vector < vectors;
        values[i] = inside ? from[vector] : make_float4(0, 0, 0, 0);
        if (HAS_GATE) gating[i] = inside ? gates[vector] : values[i];
        if (HAS_NORM) scale[i] = inside ? ((const float4 *)weight)[vector] : values[i];
        squares += square(values[i]);
    }
    for (int vector = HELD * 32 + lane; vector < vectors; vector += 32) squares += square(from[vector]);
    float r = HAS_NORM ? 1.0f / sqrtf(warp_sum(squares) / value_dim + eps) : 1.0f;
    auto store = [&](int vector, const float4 &x, const float4 &z, const float4 &w) {
        Floats<4> h = {x.x, x.y, x.z, x.w};
        if (HAS_NORM) h.at[0] *= r * w.x, h.at[1] *= r * w.y, h.at[2] *= r * w.z, h.at[3] *= r * w.w;
        if (HAS_GATE) h.at[0] *= silu(z.x), h.at[1] *= silu(z.y), h.at[2] *= silu(z.z), h.at[3] *= silu(z.w);
        store_vector(y + (i64)item * value_dim + vector * 4, h);
    };
#pragma unroll
    for (int i = 0; i < HELD; i++)
        if (i * 32 + lane < vectors) store(i * 32 + lane, values[i], gating[i], scale[i]);
    for (int vector = HELD * 32 + lane; vector < vectors; vector += 32)
        store(vector, from[vector], HAS_GATE ? gates[vector] : from[vector],
              HAS_NORM ? ((const float4 *)weight)[vector] : from[vector]);
}

// h = SiLU(g) · u, elements. Grid: any.
extern "C" __global__ void NAMED(decoding_swiglu)
(element *hidden, const element *gate, const element *up, i64 count) {
    let_next_kernel_start();
    wait_for_kernel_before();
    EACH_VECTOR(index, count) {
        Floats<VECTOR> g, u;
        load_vector(g, gate + index * VECTOR), load_vector(u, up + index * VECTOR);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) g.at[j] = silu(g.at[j]) * u.at[j];
        store_vector(hidden + index * VECTOR, g);
    }
}
