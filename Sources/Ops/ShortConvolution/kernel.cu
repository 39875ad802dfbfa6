// A causal convolution of TAPS taps over time with its activation. Sequences: `boundaries` [sequences + 1] where packed, else
// `length` tokens each. Rows of x and dx may lie among others, `pitch` elements apart; y and dy have rows of `channels`.
// Weights [C, TAPS] are float32; states [N, C, TAPS − 1] too, oldest first. ACTIVATION as in
// Activation; BIAS: whether there is one; FORWARD_BLOCKS and BACKWARD_BLOCKS: blocks a multiprocessor that registers are left
// for; FORWARD_STAGES and BACKWARD_STAGES: batches of tokens in shared memory.
//
// A thread owns VECTOR channels of `tile` tokens; a warp lies across channels, the WARPS of a block follow one another in
// time. Inputs come through shared memory by asynchronous copies, some batches of tokens ahead: registers hold weights and a
// window only, and enough bytes are under way to keep the memory busy. A thread copies what it reads itself, so nothing
// waits for another thread.
constexpr int HISTORY = TAPS - 1;
constexpr int WARPS = 4;
constexpr int THREADS_A_BLOCK = 32 * WARPS;
#ifndef FORWARD_STAGES
#define FORWARD_STAGES 3
#endif
#ifndef BACKWARD_STAGES
#define BACKWARD_STAGES 2
#endif
// Tokens of a batch: a multiple of TAPS, so that windows rotate by renaming registers.
constexpr int BATCH = TAPS >= 4 ? TAPS : 4 / TAPS * TAPS;

DEVICE float activation_value(float x) {
    return ACTIVATION == 1 ? silu(x) : ACTIVATION == 2 ? fmaxf(x, 0.0f) : ACTIVATION == 3 ? (x > 0 ? 1.0f + x : expf(x)) : x;
}
DEVICE float activation_slope(float x) {
    return ACTIVATION == 1 ? silu_gradient(x)
         : ACTIVATION == 2 ? (x > 0 ? 1.0f : 0.0f)
         : ACTIVATION == 3 ? (x > 0 ? 1.0f : expf(x)) : 1.0f;
}

struct Sequence {
    int number, start, end;
};

// The sequence that token `t` belongs to: the last that starts at or before it.
DEVICE Sequence find_sequence(const int *boundaries, int sequences, int length, int t) {
    if (!boundaries) {
        int n = t / length;
        return {n, n * length, (n + 1) * length};
    }
    int low = 0, high = sequences - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (boundaries[middle] <= t) low = middle; else high = middle - 1;
    }
    return {low, boundaries[low], boundaries[low + 1]};
}

// Where one of a thread's INPUTS tensors lies on its way: STAGES batches of tokens, each token side by side for the block.
template <int N, int INPUTS, int WANTED>
struct Ring {
    static constexpr int BATCH_BYTES = BATCH * THREADS_A_BLOCK * N * (int)sizeof(element);
    // At most 32 KB a block, because several blocks share a multiprocessor.
    static constexpr int STAGES = INPUTS * BATCH_BYTES <= 8192 ? WANTED : 2;
    static constexpr int BYTES = STAGES * BATCH_BYTES;
    element *own;

    DEVICE Ring(char *memory) : own((element *)memory + threadIdx.x * N) {}

    DEVICE element *slot(int stage, int i) const { return own + (stage * BATCH + i) * THREADS_A_BLOCK * N; }
    // N elements into a slot; zeros where `valid` is false.
    DEVICE void copy(int stage, int i, const element *from, bool valid) const {
        constexpr int BYTES = N * sizeof(element);
        element *to = slot(stage, i);
        if constexpr (BYTES == 16) {
            copy_async(to, from, valid);
        } else if constexpr (BYTES == 4 || BYTES == 8) {
            copy_async_small<BYTES>(to, from, valid);
        } else {
            *to = valid ? *from : (element)0;
        }
    }
    DEVICE Floats<N> read(int stage, int i) const { return widen(fetch<N>(slot(stage, i))); }
};

template <int N>
struct Taps {
    Floats<N> weight[TAPS];
#if BIAS
    Floats<N> bias;
#endif
};

// The weights of a block's 32 vectors of channels go through shared memory: a thread's own lie so far from its neighbour's
// that direct loads would take a cache line each. They are copied with the first batch of inputs (`stage`), and read when
// that is there, after a barrier.
template <int N>
struct StagedTaps {
    static constexpr int OWN = N * TAPS, PITCH = OWN % 4 == 0 ? OWN + 4 : OWN | 1, FLOATS = 32 * PITCH;

    static DEVICE void stage(float *staged, const float *weight, int channels) {
        int first = blockIdx.x * 32 * N, count = min(32 * N, channels - first) * TAPS;
        for (int i = threadIdx.x; i < count; i += THREADS_A_BLOCK)
            copy_async_small<4>(staged + i / OWN * PITCH + i % OWN, weight + (i64)first * TAPS + i, true);
    }
    static DEVICE void read(Taps<N> &taps, const float *staged) {
        const float *own = staged + lane_id() * PITCH;
#pragma unroll
        for (int i = 0; i < OWN; i += OWN % 4 == 0 ? 4 : 1) {
            Floats<OWN % 4 == 0 ? 4 : 1> part;
            load_vector(part, own + i);
#pragma unroll
            for (int k = 0; k < (OWN % 4 == 0 ? 4 : 1); k++)
                taps.weight[(i + k) % TAPS].at[(i + k) / TAPS] = part.at[k];
        }
    }
};

// window[0 … HISTORY−1] = the inputs before token `t`, oldest first; those before the sequence come from the state.
template <int N>
DEVICE void load_history(Floats<N> *window, const element *x, const float *state, const Sequence &sequence, int t,
                         int channel, int channels, int pitch) {
#pragma unroll
    for (int i = 0; i < HISTORY; i++) {
        int from = t - HISTORY + i;
        if (from >= sequence.start) {
            load_vector(window[i], x + (i64)from * pitch + channel);
        } else {
            int at = from - sequence.start + HISTORY;
#pragma unroll
            for (int j = 0; j < N; j++)
                window[i].at[j] =
                    state ? state[((i64)sequence.number * channels + channel + j) * HISTORY + at] : 0.0f;
        }
    }
}

// pre_t = bias + Σ_w weight_w x_(t − HISTORY + w). Windows are rings: entry `newest` (modulo TAPS) holds x_t.
template <int N>
DEVICE Floats<N> convolve(const Floats<N> *window, int newest, const Taps<N> &taps) {
    Floats<N> sum;
#pragma unroll
    for (int j = 0; j < N; j++) {
#if BIAS
        sum.at[j] = taps.bias.at[j];
#else
        sum.at[j] = 0;
#endif
#pragma unroll
        for (int w = 0; w < TAPS; w++) sum.at[j] += taps.weight[w].at[j] * window[(newest + 1 + w) % TAPS].at[j];
    }
    return sum;
}

// y_t = act(pre_t)
template <int N>
DEVICE void store_activated(element *to, const Floats<N> *window, int newest, const Taps<N> &taps) {
    Floats<N> out = convolve(window, newest, taps);
#pragma unroll
    for (int j = 0; j < N; j++) out.at[j] = activation_value(out.at[j]);
    store_vector(to, out);
}

// Grid of both directions: (⌈C / 32 VECTOR⌉, ⌈tokens / (WARPS tile)⌉).
BOUNDED_KERNEL(short_convolution_forward, THREADS_A_BLOCK, FORWARD_BLOCKS)
(element *y, const element *x, const float *weight, const float *bias, const float *state, const int *boundaries,
 int sequences, int length, int channels, int pitch, int tokens, int tile) {
    constexpr int N = VECTOR;
    typedef Ring<N, 1, FORWARD_STAGES> Inputs;
    typedef StagedTaps<N> Weights;
    constexpr int STAGES = Inputs::STAGES;
    __shared__ __align__(16) char memory[Inputs::BYTES];
    __shared__ __align__(16) float staged[Weights::FLOATS];
    Inputs ring(memory);
    int channel = (blockIdx.x * 32 + lane_id()) * N, t = (blockIdx.y * WARPS + threadIdx.x / 32) * tile;
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
    Weights::stage(staged, weight, channels);
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
    while (true) {
        int stage = 0;
#pragma unroll 1
        for (int batch = 0; batch < batches; batch++) {
            copy_wait<STAGES - 2>();
            copy_batch(stage == 0 ? STAGES - 1 : stage - 1, batch + STAGES - 1 < batches);
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                window[(HISTORY + i) % TAPS] = ring.read(stage, i);
                store_activated(to + i * channels, window, HISTORY + i, taps);
            }
            to += BATCH * channels;
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
        t += batches * BATCH;
        // What is left of a sequence that does not end with a batch.
#pragma unroll 1
        for (; t < stop; t++) {
            load_vector(window[HISTORY], ahead);
            store_activated(to, window, HISTORY, taps);
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
    from_float(&y[i], activation_value(sum));
#pragma unroll
    for (int w = 0; w < HISTORY; w++) new_state[i * HISTORY + w] = window[w + 1];
}

// The last HISTORY inputs of every sequence, from its initial state where it is shorter. Grid: N · C threads.
KERNEL(short_convolution_state)
(float *final_state, const element *x, const float *state, const int *boundaries, int sequences, int length,
 int channels, int pitch) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    int n = (int)(i / channels), channel = (int)(i % channels);
    i64 start = boundaries ? boundaries[n] : (i64)n * length, end = boundaries ? boundaries[n + 1] : start + length;
    for (int at = 0; at < HISTORY; at++) {
        i64 from = end - HISTORY + at;
        int before = (int)(from - start) + HISTORY;
        final_state[i * HISTORY + at] = from >= start ? to_float(x[from * pitch + channel])
                                      : state         ? state[i * HISTORY + before]
                                                      : 0.0f;
    }
}

// dpre_t = dy_t act'(pre_t), where window entry `newest` (modulo TAPS) holds x_t; and, for a token of the tile (`own`), its
// part of dweight_w = Σ_t dpre_t x_(t − HISTORY + w) and of dbias = Σ_t dpre_t.
DEVICE Floats<VECTOR> slope_at(const Floats<VECTOR> *window, int newest, const Floats<VECTOR> &dy,
                               const Taps<VECTOR> &taps, Taps<VECTOR> &sums, bool own) {
    Floats<VECTOR> slope = convolve(window, newest, taps);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) slope.at[j] = dy.at[j] * activation_slope(slope.at[j]);
    if (own) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
#if BIAS
            sums.bias.at[j] += slope.at[j];
#endif
#pragma unroll
            for (int w = 0; w < TAPS; w++)
                sums.weight[w].at[j] += slope.at[j] * window[(newest + 1 + w) % TAPS].at[j];
        }
    }
    return slope;
}

// dx_s = Σ_w weight_w dpre_(s + HISTORY − w), where entry `newest` (modulo TAPS) of the ring `slopes` is dpre_(s + HISTORY).
DEVICE Floats<VECTOR> input_gradient(const Floats<VECTOR> *slopes, int newest, const Taps<VECTOR> &taps) {
    Floats<VECTOR> d;
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        d.at[j] = 0;
#pragma unroll
        for (int w = 0; w < TAPS; w++) d.at[j] += taps.weight[w].at[j] * slopes[(newest + TAPS - w) % TAPS].at[j];
    }
    return d;
}

DEVICE void clear(Floats<VECTOR> &v) {
#pragma unroll
    for (int j = 0; j < VECTOR; j++) v.at[j] = 0;
}

// A tile also computes dpre of the HISTORY tokens after it (within their sequence), which its last dx need; sums for
// weight and bias take its own tokens only: partial [grid's blocks in time][TAPS + BIAS][C].
BOUNDED_KERNEL(short_convolution_backward, THREADS_A_BLOCK, BACKWARD_BLOCKS)
(element *dx, float *partial, float *dstate, const element *dy, const element *x, const float *weight,
 const float *bias, const float *state, const int *boundaries, int sequences, int length, int channels, int pitch,
 int tokens, int tile) {
    constexpr int N = VECTOR, SUMS = TAPS + BIAS, SUM_BYTES = SUMS * THREADS_A_BLOCK * N * 4;
    typedef Ring<N, 2, BACKWARD_STAGES> Inputs;
    typedef StagedTaps<N> Weights;
    constexpr int STAGES = Inputs::STAGES;
    __shared__ __align__(16) char memory[2 * Inputs::BYTES > SUM_BYTES ? 2 * Inputs::BYTES : SUM_BYTES];
    __shared__ __align__(16) float staged[Weights::FLOATS];
    Inputs ring_x(memory), ring_dy(memory + Inputs::BYTES);
    int channel = (blockIdx.x * 32 + lane_id()) * N, t = (blockIdx.y * WARPS + threadIdx.x / 32) * tile;
    int end = channel < channels ? min(t + tile, tokens) : 0;
    Taps<N> taps, sums;
    Weights::stage(staged, weight, channels);
    copy_wait_all();
    __syncthreads();
    Weights::read(taps, staged);
#if BIAS
    if (channel < channels) load_vector(taps.bias, bias + channel);
#endif
#pragma unroll
    for (int w = 0; w < TAPS; w++) clear(sums.weight[w]);
#if BIAS
    clear(sums.bias);
#endif
    while (t < end) {
        Sequence sequence = find_sequence(boundaries, sequences, length, t);
        // dx of the tokens before the first is the gradient of the state: such a tile goes a token at a time.
        bool wants_state = dstate && t == sequence.start;
        int begin = t, stop = min(end, sequence.end), batches = wants_state ? 0 : (stop - t) / BATCH;
        i64 at = (i64)t * pitch + channel;
        const element *ahead_x = x + at, *ahead_dy = dy + (i64)t * channels + channel;
        element *to = dx + at - HISTORY * pitch;
        // After the last batch the HISTORY tokens after the tile, zeros where the sequence has ended.
        auto copy_batch = [&](int stage, int batch) {
            if (batch < batches) {
#pragma unroll
                for (int i = 0; i < BATCH; i++) {
                    ring_x.copy(stage, i, ahead_x + i * pitch, true);
                    ring_dy.copy(stage, i, ahead_dy + i * channels, true);
                }
                ahead_x += BATCH * pitch, ahead_dy += BATCH * channels;
            } else if (batch == batches) {
#pragma unroll
                for (int i = 0; i < HISTORY; i++) {
                    bool inside = stop + i < sequence.end;
                    ring_x.copy(stage, i, inside ? ahead_x + i * pitch : x, inside);
                    ring_dy.copy(stage, i, inside ? ahead_dy + i * channels : dy, inside);
                }
            }
            copy_commit();
        };
#pragma unroll
        for (int batch = 0; batch < STAGES - 1; batch++) copy_batch(batch, batch);
        Floats<N> window[TAPS], slopes[TAPS];
        load_history(window, x, state, sequence, t, channel, channels, pitch);
#pragma unroll
        for (int w = 0; w < TAPS; w++) clear(slopes[w]);
        int stage = 0;
#pragma unroll 1
        for (int batch = 0; batch < batches; batch++) {
            copy_wait<STAGES - 2>();
            copy_batch(stage == 0 ? STAGES - 1 : stage - 1, batch + STAGES - 1);
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                window[(HISTORY + i) % TAPS] = ring_x.read(stage, i);
                slopes[(HISTORY + i) % TAPS] = slope_at(window, HISTORY + i, ring_dy.read(stage, i), taps, sums, true);
                if (i >= HISTORY || batch > 0)
                    store_vector(to + i * pitch, input_gradient(slopes, HISTORY + i, taps));
            }
            to += BATCH * pitch;
            stage = stage + 1 == STAGES ? 0 : stage + 1;
        }
        copy_wait<0>();
        t += batches * BATCH;
        if (t == stop) {
            // Zeros after the sequence make dpre zero there.
#pragma unroll
            for (int i = 0; i < HISTORY; i++) {
                window[(HISTORY + i) % TAPS] = ring_x.read(stage, i);
                slopes[(HISTORY + i) % TAPS] =
                    slope_at(window, HISTORY + i, ring_dy.read(stage, i), taps, sums, false);
                store_vector(to + i * pitch, input_gradient(slopes, HISTORY + i, taps));
            }
            continue;
        }
#pragma unroll 1
        for (; t < stop + HISTORY; t++) {
            if (t < sequence.end) {
                Floats<N> upstream;
                load_vector(window[HISTORY], ahead_x);
                load_vector(upstream, ahead_dy);
                slopes[HISTORY] = slope_at(window, HISTORY, upstream, taps, sums, t < stop);
#pragma unroll
                for (int w = 0; w < HISTORY; w++) window[w] = window[w + 1];
            } else {
                clear(slopes[HISTORY]);
            }
            int s = t - HISTORY;
            Floats<N> d = input_gradient(slopes, HISTORY, taps);
            if (s >= begin) {
                store_vector(to, d);
            } else if (wants_state) {
#pragma unroll
                for (int j = 0; j < N; j++)
                    dstate[((i64)sequence.number * channels + channel + j) * HISTORY + s - begin + HISTORY] = d.at[j];
            }
#pragma unroll
            for (int w = 0; w < HISTORY; w++) slopes[w] = slopes[w + 1];
            ahead_x += pitch, ahead_dy += channels, to += pitch;
        }
        t = stop;
    }
    // The sums of the block, warp after warp.
    float *gathered = (float *)memory;
    __syncthreads();
#pragma unroll
    for (int w = 0; w < SUMS; w++)
#pragma unroll
        for (int j = 0; j < N; j++)
            gathered[(w * N + j) * THREADS_A_BLOCK + threadIdx.x] =
#if BIAS
                w == TAPS ? sums.bias.at[j] :
#endif
                          sums.weight[w].at[j];
    __syncthreads();
    for (int i = threadIdx.x; i < SUMS * 32 * N; i += THREADS_A_BLOCK) {
        int w = i / (32 * N), within = i % (32 * N), own = blockIdx.x * 32 * N + within;
        const float *from = gathered + (w * N + within % N) * THREADS_A_BLOCK + within / N;
        float sum = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) sum += from[32 * warp];
        if (own < channels) partial[((i64)blockIdx.y * SUMS + w) * channels + own] = sum;
    }
}

// Adds the gradient of the final state to the inputs it was taken from. Grid: N · C threads.
KERNEL(short_convolution_backward_state)
(element *dx, float *dstate, const float *dfinal, const int *boundaries, int sequences, int length, int channels,
 int pitch) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    int n = (int)(i / channels), channel = (int)(i % channels);
    i64 start = boundaries ? boundaries[n] : (i64)n * length, end = boundaries ? boundaries[n + 1] : start + length;
    for (int at = 0; at < HISTORY; at++) {
        i64 from = end - HISTORY + at;
        float d = dfinal[i * HISTORY + at];
        if (from >= start) {
            from_float(&dx[from * pitch + channel], to_float(dx[from * pitch + channel]) + d);
        } else if (dstate) {
            dstate[i * HISTORY + (int)(from - start) + HISTORY] += d;
        }
    }
}

// dweight [C, TAPS] and, where there is a bias, dbias [C] from column sums [TAPS + BIAS][C].
KERNEL(short_convolution_backward_weight)(float *dweight, float *dbias, const float *sums, int channels) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    for (int w = 0; w < TAPS; w++) dweight[channel * TAPS + w] = sums[w * channels + channel];
    if (dbias) dbias[channel] = sums[TAPS * channels + channel];
}
