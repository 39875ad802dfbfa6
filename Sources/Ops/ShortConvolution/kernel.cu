// A causal convolution of TAPS taps over time with its activation. A thread owns a few channels of TILE tokens and keeps
// the last TAPS − 1 inputs in registers. Sequences: `boundaries` [sequences + 1] where packed, else `length` tokens each.
// Weights [C, TAPS] are float32; states [N, C, TAPS − 1] too, oldest first. ACTIVATION as in Activation.
//
// Channels a thread: VECTOR, in the forward FORWARD_VECTOR. Nearly all tiles lie inside of one sequence: these go without
// a test a token, and their loads run one batch ahead of the arithmetic. The others are done a token at a time.
constexpr int TILE = 64;
constexpr int HISTORY = TAPS - 1;
constexpr int BATCH = 4;  // tokens whose loads are under way together
// Blocks a multiprocessor that the backward's registers leave room for.
constexpr int BACKWARD_BLOCKS = TAPS <= 4 && sizeof(element) == 2 ? 3 : 2;
#ifndef FORWARD_VECTOR
#define FORWARD_VECTOR VECTOR
#endif

DEVICE float activation_value(float x) {
    return ACTIVATION == 1 ? silu(x) : ACTIVATION == 2 ? fmaxf(x, 0.0f) : ACTIVATION == 3 ? (x > 0 ? 1.0f + x : expf(x)) : x;
}
DEVICE float activation_slope(float x) {
    return ACTIVATION == 1 ? silu_gradient(x)
         : ACTIVATION == 2 ? (x > 0 ? 1.0f : 0.0f)
         : ACTIVATION == 3 ? (x > 0 ? 1.0f : expf(x)) : 1.0f;
}

struct Sequence {
    int number;
    i64 start, end;
};

// The sequence that token `t` belongs to: the last that starts at or before it.
DEVICE Sequence find_sequence(const int *boundaries, int sequences, int length, i64 t) {
    if (!boundaries) {
        int n = (int)(t / length);
        return {n, (i64)n * length, (i64)(n + 1) * length};
    }
    int low = 0, high = sequences - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (boundaries[middle] <= t) low = middle; else high = middle - 1;
    }
    return {low, boundaries[low], boundaries[low + 1]};
}

template <int N>
struct Taps {
    Floats<N> weight[TAPS];
    Floats<N> bias;
};

template <int N>
DEVICE void load_taps(Taps<N> &taps, const float *weight, const float *bias, int channel) {
#pragma unroll
    for (int j = 0; j < N; j++) {
#pragma unroll
        for (int w = 0; w < TAPS; w++) taps.weight[w].at[j] = weight[(channel + j) * TAPS + w];
        taps.bias.at[j] = bias ? bias[channel + j] : 0.0f;
    }
}

// window[0 … HISTORY−1] = the inputs before token `t`, oldest first.
template <int N>
DEVICE void load_history(Floats<N> *window, const element *x, const float *state, const Sequence &sequence, i64 t,
                         int channel, int channels) {
#pragma unroll
    for (int i = 0; i < HISTORY; i++) {
        i64 from = t - HISTORY + i;
        if (from >= sequence.start) {
            load_vector(window[i], x + from * channels + channel);
        } else {
            int at = (int)(from - sequence.start) + HISTORY;
#pragma unroll
            for (int j = 0; j < N; j++)
                window[i].at[j] =
                    state ? state[((i64)sequence.number * channels + channel + j) * HISTORY + at] : 0.0f;
        }
    }
}

// What goes into the activation at a token whose input is window[HISTORY].
template <int N>
DEVICE Floats<N> convolve(const Floats<N> *window, const Taps<N> &taps) {
    Floats<N> sum = taps.bias;
#pragma unroll
    for (int w = 0; w < TAPS; w++)
#pragma unroll
        for (int j = 0; j < N; j++) sum.at[j] += taps.weight[w].at[j] * window[w].at[j];
    return sum;
}

// Elements as they lie in memory, on their way to registers while others are computed with.
template <int N>
struct __align__(N * sizeof(element)) Raw {
    element at[N];
};
template <int N>
DEVICE Raw<N> fetch(const element *from) {
    return *(const Raw<N> *)from;
}
template <int N>
DEVICE Floats<N> widen(const Raw<N> &raw) {
    Floats<N> v;
#pragma unroll
    for (int j = 0; j < N; j++) v.at[j] = to_float(raw.at[j]);
    return v;
}

// Grid: (⌈C / FORWARD_VECTOR / 128⌉, ⌈tokens / TILE⌉), 128 threads.
KERNEL(short_convolution_forward)
(element *y, const element *x, const float *weight, const float *bias, const float *state, const int *boundaries,
 int sequences, int length, int channels, i64 tokens) {
    constexpr int N = FORWARD_VECTOR;
    int channel = (blockIdx.x * 128 + threadIdx.x) * N;
    if (channel >= channels) return;
    i64 t = (i64)blockIdx.y * TILE, end = min(t + TILE, tokens);
    Taps<N> taps;
    load_taps(taps, weight, bias, channel);
    while (t < end) {
        Sequence sequence = find_sequence(boundaries, sequences, length, t);
        i64 stop = min(end, sequence.end);
        Floats<N> window[HISTORY + BATCH];
        load_history(window, x, state, sequence, t, channel, channels);
        const element *from = x + t * channels + channel;
        element *to = y + t * channels + channel;
        if (stop - t == TILE) {
            Raw<N> next[BATCH];
#pragma unroll
            for (int i = 0; i < BATCH; i++) next[i] = fetch<N>(from + (i64)i * channels);
#pragma unroll 1
            for (int batch = 0; batch < TILE / BATCH; batch++) {
#pragma unroll
                for (int i = 0; i < BATCH; i++) window[HISTORY + i] = widen(next[i]);
                from += (i64)BATCH * channels;
                if (batch + 1 < TILE / BATCH) {
#pragma unroll
                    for (int i = 0; i < BATCH; i++) next[i] = fetch<N>(from + (i64)i * channels);
                }
#pragma unroll
                for (int i = 0; i < BATCH; i++) {
                    Floats<N> out = convolve(window + i, taps);
#pragma unroll
                    for (int j = 0; j < N; j++) out.at[j] = activation_value(out.at[j]);
                    store_vector(to, out);
                    to += channels;
                }
#pragma unroll
                for (int i = 0; i < HISTORY; i++) window[i] = window[i + BATCH];
            }
        } else {
#pragma unroll 1
            for (i64 left = stop - t; left > 0; left--) {
                load_vector(window[HISTORY], from);
                Floats<N> out = convolve(window, taps);
#pragma unroll
                for (int j = 0; j < N; j++) out.at[j] = activation_value(out.at[j]);
                store_vector(to, out);
#pragma unroll
                for (int i = 0; i < HISTORY; i++) window[i] = window[i + 1];
                from += channels, to += channels;
            }
        }
        t = stop;
    }
}

// One token of every sequence: decoding. A thread owns a channel of a sequence; `new_state` may be `state`.
KERNEL(short_convolution_step)
(element *y, float *new_state, const element *x, const float *weight, const float *bias, const float *state,
 int channels, i64 count) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    int channel = (int)(i % channels);
    float window[TAPS], sum = bias ? bias[channel] : 0.0f;
#pragma unroll
    for (int w = 0; w < HISTORY; w++) window[w] = state ? state[i * HISTORY + w] : 0.0f;
    window[HISTORY] = to_float(x[i]);
#pragma unroll
    for (int w = 0; w < TAPS; w++) sum += weight[channel * TAPS + w] * window[w];
    from_float(&y[i], activation_value(sum));
#pragma unroll
    for (int w = 0; w < HISTORY; w++) new_state[i * HISTORY + w] = window[w + 1];
}

// The last HISTORY inputs of every sequence, from its initial state where it is shorter. Grid: N · C threads.
KERNEL(short_convolution_state)
(float *final_state, const element *x, const float *state, const int *boundaries, int sequences, int length,
 int channels) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    int n = (int)(i / channels), channel = (int)(i % channels);
    i64 start = boundaries ? boundaries[n] : (i64)n * length, end = boundaries ? boundaries[n + 1] : start + length;
    for (int at = 0; at < HISTORY; at++) {
        i64 from = end - HISTORY + at;
        int before = (int)(from - start) + HISTORY;
        final_state[i * HISTORY + at] = from >= start ? to_float(x[from * channels + channel])
                                      : state         ? state[i * HISTORY + before]
                                                      : 0.0f;
    }
}

// Sums for the weights' gradient over a thread's tokens, and dpre_t = dy_t act'(pre_t) of one token, whose input is
// window[HISTORY]. Tokens after the tile take no part in the sums.
DEVICE Floats<VECTOR> slope_at(const Floats<VECTOR> *window, const Floats<VECTOR> &dy, const Taps<VECTOR> &taps,
                               Taps<VECTOR> &sums, bool own) {
    Floats<VECTOR> slope = convolve(window, taps);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) slope.at[j] = dy.at[j] * activation_slope(slope.at[j]);
    if (own) {
#pragma unroll
        for (int j = 0; j < VECTOR; j++) {
            sums.bias.at[j] += slope.at[j];
#pragma unroll
            for (int w = 0; w < TAPS; w++) sums.weight[w].at[j] += slope.at[j] * window[w].at[j];
        }
    }
    return slope;
}

// dx of the token whose dpre is slopes[0].
DEVICE Floats<VECTOR> input_gradient(const Floats<VECTOR> *slopes, const Taps<VECTOR> &taps) {
    Floats<VECTOR> d;
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
        d.at[j] = 0;
#pragma unroll
        for (int w = 0; w < TAPS; w++) d.at[j] += taps.weight[w].at[j] * slopes[HISTORY - w].at[j];
    }
    return d;
}

// A whole tile of one sequence. `follows`: HISTORY tokens of the sequence come after it; else none does.
DEVICE void backward_tile(element *dx, const element *dy, const element *x, const Floats<VECTOR> *history,
                          const Taps<VECTOR> &taps, Taps<VECTOR> &sums, int channels, bool follows) {
    Floats<VECTOR> window[HISTORY + BATCH], slopes[HISTORY + BATCH];
    Raw<VECTOR> next_x[BATCH], next_dy[BATCH];
#pragma unroll
    for (int i = 0; i < HISTORY; i++) window[i] = slopes[i] = history[i];
#pragma unroll
    for (int i = 0; i < BATCH; i++) {
        next_x[i] = fetch<VECTOR>(x + (i64)i * channels);
        next_dy[i] = fetch<VECTOR>(dy + (i64)i * channels);
    }
    dx -= (i64)HISTORY * channels;
#pragma unroll 1
    for (int batch = 0; batch < TILE / BATCH; batch++) {
        Floats<VECTOR> upstream[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            window[HISTORY + i] = widen(next_x[i]);
            upstream[i] = widen(next_dy[i]);
        }
        x += (i64)BATCH * channels, dy += (i64)BATCH * channels;
        if (batch + 1 < TILE / BATCH) {
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                next_x[i] = fetch<VECTOR>(x + (i64)i * channels);
                next_dy[i] = fetch<VECTOR>(dy + (i64)i * channels);
            }
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            slopes[HISTORY + i] = slope_at(window + i, upstream[i], taps, sums, true);
            if (batch * BATCH + i >= HISTORY) store_vector(dx, input_gradient(slopes + i, taps));
            dx += channels;
        }
#pragma unroll
        for (int i = 0; i < HISTORY; i++) window[i] = window[i + BATCH], slopes[i] = slopes[i + BATCH];
    }
    // The last dx need dpre of the tokens after the tile.
#pragma unroll
    for (int i = 0; i < HISTORY; i++) {
        if (follows) {
            Floats<VECTOR> upstream;
            load_vector(window[HISTORY], x + (i64)i * channels);
            load_vector(upstream, dy + (i64)i * channels);
            slopes[HISTORY] = slope_at(window, upstream, taps, sums, false);
        } else {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) slopes[HISTORY].at[j] = 0;
        }
        store_vector(dx, input_gradient(slopes, taps));
        dx += channels;
#pragma unroll
        for (int w = 0; w < HISTORY; w++) window[w] = window[w + 1], slopes[w] = slopes[w + 1];
    }
}

// dpre_t = dy_t act'(pre_t);  dx_s = Σ_w weight_w dpre_(s + HISTORY − w);  dweight_w = Σ_t dpre_t x_(t − HISTORY + w).
// A tile also computes dpre of the HISTORY tokens after it (within their sequence), which its last dx need; sums for
// weight and bias take its own tokens only: partial [tiles][TAPS + 1][C], bias last.
extern "C" __global__ void __launch_bounds__(128, BACKWARD_BLOCKS)
#if ELEMENT_BFLOAT16
short_convolution_backward_bfloat16
#else
short_convolution_backward_float32
#endif
(element *dx, float *partial, float *dstate, const element *dy, const element *x, const float *weight,
 const float *bias, const float *state, const int *boundaries, int sequences, int length, int channels, i64 tokens) {
    int channel = (blockIdx.x * 128 + threadIdx.x) * VECTOR;
    if (channel >= channels) return;
    i64 begin = (i64)blockIdx.y * TILE, end = min(begin + TILE, tokens);
    Taps<VECTOR> taps, sums;
    load_taps(taps, weight, bias, channel);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
#pragma unroll
        for (int w = 0; w < TAPS; w++) sums.weight[w].at[j] = 0;
        sums.bias.at[j] = 0;
    }
    while (begin < end) {
        Sequence sequence = find_sequence(boundaries, sequences, length, begin);
        i64 stop = min(end, sequence.end);
        Floats<VECTOR> window[TAPS];
        load_history(window, x, state, sequence, begin, channel, channels);
        if (stop - begin == TILE && !dstate && (stop == sequence.end || stop + HISTORY <= sequence.end)) {
            i64 at = begin * channels + channel;
            backward_tile(dx + at, dy + at, x + at, window, taps, sums, channels, stop != sequence.end);
            begin = stop;
            continue;
        }
        Floats<VECTOR> slopes[TAPS];  // dpre of the last TAPS tokens, oldest first
#pragma unroll
        for (int w = 0; w < TAPS; w++)
#pragma unroll
            for (int j = 0; j < VECTOR; j++) slopes[w].at[j] = 0;
#pragma unroll 1
        for (i64 t = begin; t < stop + HISTORY; t++) {
#pragma unroll
            for (int w = 0; w < HISTORY; w++) slopes[w] = slopes[w + 1];
            if (t < sequence.end) {
                Floats<VECTOR> upstream;
                load_vector(window[HISTORY], x + t * channels + channel);
                load_vector(upstream, dy + t * channels + channel);
                slopes[HISTORY] = slope_at(window, upstream, taps, sums, t < stop);
#pragma unroll
                for (int w = 0; w < HISTORY; w++) window[w] = window[w + 1];
            } else {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) slopes[HISTORY].at[j] = 0;
            }
            i64 s = t - HISTORY;
            Floats<VECTOR> d = input_gradient(slopes, taps);
            if (s >= begin) {
                store_vector(dx + s * channels + channel, d);
            } else if (dstate && begin == sequence.start) {
                int at = (int)(s - begin) + HISTORY;
#pragma unroll
                for (int j = 0; j < VECTOR; j++)
                    dstate[((i64)sequence.number * channels + channel + j) * HISTORY + at] = d.at[j];
            }
        }
        begin = stop;
    }
    float *out = partial + (i64)blockIdx.y * (TAPS + 1) * channels + channel;
#pragma unroll
    for (int w = 0; w < TAPS; w++) store_vector(out + w * channels, sums.weight[w]);
    store_vector(out + TAPS * channels, sums.bias);
}

// Adds the gradient of the final state to the inputs it was taken from. Grid: N · C threads.
KERNEL(short_convolution_backward_state)
(element *dx, float *dstate, const float *dfinal, const int *boundaries, int sequences, int length, int channels) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    int n = (int)(i / channels), channel = (int)(i % channels);
    i64 start = boundaries ? boundaries[n] : (i64)n * length, end = boundaries ? boundaries[n + 1] : start + length;
    for (int at = 0; at < HISTORY; at++) {
        i64 from = end - HISTORY + at;
        float d = dfinal[i * HISTORY + at];
        if (from >= start) {
            from_float(&dx[from * channels + channel], to_float(dx[from * channels + channel]) + d);
        } else if (dstate) {
            dstate[i * HISTORY + (int)(from - start) + HISTORY] += d;
        }
    }
}

// dweight [C, TAPS] and dbias [C] from column sums [TAPS + 1][C].
KERNEL(short_convolution_backward_weight)(float *dweight, float *dbias, const float *sums, int channels) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    for (int w = 0; w < TAPS; w++) dweight[channel * TAPS + w] = sums[w * channels + channel];
    if (dbias) dbias[channel] = sums[TAPS * channels + channel];
}
