// What stands between the products where a library computes these (many sequences), and the look-up of the embeddings.
// Blocks of 256 threads.

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

// y[b] = s[b] / rms(s[b]) · w. Grid: B.
extern "C" __global__ void NAMED(decoding_normalise)
(element *y, const float *stream, const float *weight, float eps, int width) {
    __shared__ float sums[8];
    let_next_kernel_start();
    wait_for_kernel_before();
    const float *row = stream + (i64)blockIdx.x * width;
    float squares = 0;
#pragma unroll 8
    for (int i = threadIdx.x; i < width; i += 256) squares += row[i] * row[i];
    float r = 1.0f / sqrtf(block_sum<8>(squares, sums) / width + eps);
#pragma unroll 8
    for (int i = threadIdx.x; i < width; i += 256) from_float(&y[(i64)blockIdx.x * width + i], row[i] * r * weight[i]);
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
    mixed[(i64)b * stride + column] = part < 2 ? key_activation(y) : silu(y);
}

// y[b] = rms(o[b, head]) · w · SiLU(gate[b, head]): a warp a head. HAS_NORM, HAS_GATE. Grid: ⌈B heads / 8⌉.
extern "C" __global__ void NAMED(decoding_heads)
(element *y, const float *o, const float *gate, int gate_stride, const float *weight, float eps, int batch, int heads,
 int value_dim) {
    let_next_kernel_start();
    wait_for_kernel_before();
    int item = blockIdx.x * 8 + threadIdx.x / 32;
    if (item >= batch * heads) return;
    const float *from = o + (i64)item * value_dim;
    const float *gates = gate + (i64)(item / heads) * gate_stride + item % heads * value_dim;
    float squares = 0;
#pragma unroll 8
    for (int i = lane_id(); i < value_dim; i += 32) squares += from[i] * from[i];
    float r = HAS_NORM ? 1.0f / sqrtf(warp_sum(squares) / value_dim + eps) : 1.0f;
#pragma unroll 8
    for (int i = lane_id(); i < value_dim; i += 32) {
        float x = from[i];
        if (HAS_NORM) x *= r * weight[i];
        if (HAS_GATE) x *= silu(gates[i]);
        from_float(&y[(i64)item * value_dim + i], x);
    }
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
