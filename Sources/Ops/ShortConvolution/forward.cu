// Forward, and the step of decoding. HEAD_DIM: channels of a head where a part is normalised, 32 VECTOR or a part of that by
// a power of two, and 32 VECTOR divides such a part's channels; else 0.
#ifndef STAGES_WANTED
#define STAGES_WANTED 3
#endif

#if ELEMENT_BFLOAT16
DEVICE float inverse_root(float x) {
    float result;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
#else
DEVICE float inverse_root(float x) { return 1.0f / sqrtf(x); }
#endif

// factor [tokens, heads], where a part has one: its heads are normalised, and 1 / length is kept there.
BOUNDED_KERNEL(short_convolution_forward, THREADS_A_BLOCK, BLOCKS)
(EACH_PART(element *, y), EACH_PART(float *, factor), EACH_PART(const element *, x), EACH_PART(const float *, weight),
 EACH_PART(const float *, state), EACH_PART(int, channels), const float *bias, const int *boundaries, int sequences,
 int length, int pitch, int tokens, int tile, float eps) {
    constexpr int N = VECTOR;
    typedef Ring<N, 1, STAGES_WANTED> Inputs;
    typedef StagedTaps<N> Weights;
    constexpr int STAGES = Inputs::STAGES;
    __shared__ __align__(16) char memory[Inputs::BYTES];
    __shared__ __align__(16) float staged[Weights::FLOATS];
    Inputs ring(memory);
    Part part = part_of_block(channels0, channels1);
    element *y = OF_PART(y);
    float *factor = OF_PART(factor);
    const element *x = OF_PART(x);
    const float *weight = OF_PART(weight), *state = OF_PART(state);
    int channels = OF_PART(channels);
    int channel = (part.block * 32 + lane_id()) * N, t = (blockIdx.y * WARPS + threadIdx.x / 32) * tile;
    int end = channel < channels ? min(t + tile, tokens) : 0;
    Sequence sequence;
    int stop, batches;
    // The next token to copy: after the last batch, the one that follows it.
    const element *ahead;
    element *to;
    Floats<N> window[TAPS];
    auto copy_batch = [&](int stage, bool wanted) {
        if (wanted) {
#pragma unroll
            for (int i = 0; i < BATCH; i++) ring.copy(stage, i, ahead + i * pitch, true);
            ahead += BATCH * pitch;
        }
        copy_commit();
    };
    // The first batches of the part of a sequence that starts at t.
    auto begin = [&] {
        sequence = find_sequence(boundaries, sequences, length, t);
        stop = min(end, sequence.end), batches = (stop - t) / BATCH;
        ahead = x + (i64)t * pitch + channel, to = y + (i64)t * channels + channel;
#pragma unroll
        for (int batch = 0; batch < STAGES - 1; batch++) copy_batch(batch, batch < batches);
        load_history(window, x, state, sequence, t, channel, channels, pitch);
    };
    Weights::stage(staged, weight, part.block, channels);
    if (t < end) {
        begin();
        copy_wait<STAGES - 2>();
    } else {
        copy_wait_all();
    }
    __syncthreads();
    if (t >= end) return;
    Taps<N> taps;
    Weights::read(taps, staged);
#if BIAS
    load_vector(taps.bias, bias + channel);
#endif
#if HEAD_DIM
    constexpr int LANES = HEAD_DIM / N;
    int heads = channels / HEAD_DIM;
    float *factor_to = factor ? factor + (i64)t * heads + channel / HEAD_DIM : 0;
#endif
    // y_t = act(pre_t), of unit length a head where that is wanted; entry `newest` of the window holds x_t.
    auto store = [&](element *to, int newest) {
        Floats<N> out = convolve(window, newest, taps);
#pragma unroll
        for (int j = 0; j < N; j++) out.at[j] = activation_value<ACTIVATION>(out.at[j]);
#if HEAD_DIM
        if (factor_to) {
            float squares = 0;
#pragma unroll
            for (int j = 0; j < N; j++) squares += out.at[j] * out.at[j];
#pragma unroll
            for (int step = 1; step < LANES; step *= 2) squares += __shfl_xor_sync(FULL_MASK, squares, step);
            float r = inverse_root(squares + eps);
#pragma unroll
            for (int j = 0; j < N; j++) out.at[j] *= r;
            if (lane_id() % LANES == 0) *factor_to = r;
            factor_to += heads;
        }
#endif
        store_vector(to, out);
    };
    while (true) {
        int stage = 0;
#pragma unroll 1
        for (int batch = 0; batch < batches; batch++) {
            copy_wait<STAGES - 2>();
            copy_batch(stage == 0 ? STAGES - 1 : stage - 1, batch + STAGES - 1 < batches);
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                window[(HISTORY + i) % TAPS] = ring.read(stage, i);
                store(to + i * channels, HISTORY + i);
            }
            to += BATCH * channels;
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
        t += batches * BATCH;
        // What is left of a sequence that does not end with a batch.
#pragma unroll 1
        for (; t < stop; t++) {
            load_vector(window[HISTORY], ahead);
            store(to, HISTORY);
#pragma unroll
            for (int i = 0; i < HISTORY; i++) window[i] = window[i + 1];
            ahead += pitch, to += channels;
        }
        if (t >= end) return;
        begin();
    }
}

// One token of every sequence: decoding. A thread owns a channel of a sequence; `new_state` may be `state`.
KERNEL(short_convolution_step)
(element *y, float *new_state, const element *x, const float *weight, const float *bias, const float *state,
 int channels, int pitch, i64 count) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int channel = (int)(i % channels);
    float window[TAPS], sum = bias ? bias[channel] : 0.0f;
#pragma unroll
    for (int w = 0; w < HISTORY; w++) window[w] = state ? state[i * HISTORY + w] : 0.0f;
    window[HISTORY] = to_float(x[i / channels * pitch + channel]);
#pragma unroll
    for (int w = 0; w < TAPS; w++) sum += weight[channel * TAPS + w] * window[w];
    from_float(&y[i], activation_value<ACTIVATION>(sum));
#pragma unroll
    for (int w = 0; w < HISTORY; w++) new_state[i * HISTORY + w] = window[w + 1];
}

// The last HISTORY inputs of every sequence, from its initial state where it is shorter. Grid: N · C threads.
KERNEL(short_convolution_state)
(float *final_state, const element *x, const float *state, const int *boundaries, int sequences, int length,
 int channels, int pitch) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    StateChannel own = find_state_channel(i, boundaries, length, channels);
    for (int at = 0; at < HISTORY; at++) {
        i64 from = own.end - HISTORY + at;
        int before = (int)(from - own.start) + HISTORY;
        final_state[i * HISTORY + at] = from >= own.start ? to_float(x[from * pitch + own.channel])
                                      : state             ? state[i * HISTORY + before]
                                                          : 0.0f;
    }
}
