// A causal convolution of TAPS taps over time with its activation. A thread owns VECTOR channels of TILE tokens and keeps
// the last TAPS − 1 inputs in registers. Sequences: `boundaries` [sequences + 1] where packed, else `length` tokens each.
// Weights [C, TAPS] are float32; states [N, C, TAPS − 1] too, oldest first. ACTIVATION as in Activation.
constexpr int TILE = 64;
constexpr int HISTORY = TAPS - 1;
constexpr int BATCH = 4;  // tokens whose loads are under way together

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

struct Taps {
    Floats<VECTOR> weight[TAPS];
    Floats<VECTOR> bias;
};

DEVICE void load_taps(Taps &taps, const float *weight, const float *bias, int channel) {
#pragma unroll
    for (int j = 0; j < VECTOR; j++) {
#pragma unroll
        for (int w = 0; w < TAPS; w++) taps.weight[w].at[j] = weight[(channel + j) * TAPS + w];
        taps.bias.at[j] = bias ? bias[channel + j] : 0.0f;
    }
}

// window[0 … HISTORY−1] = the inputs before token `t`, oldest first.
DEVICE void load_history(Floats<VECTOR> *window, const element *x, const float *state, const Sequence &sequence, i64 t,
                         int channel, int channels) {
#pragma unroll
    for (int i = 0; i < HISTORY; i++) {
        i64 from = t - HISTORY + i;
        if (from >= sequence.start) {
            load_vector(window[i], x + from * channels + channel);
        } else {
            int at = (int)(from - sequence.start) + HISTORY;
#pragma unroll
            for (int j = 0; j < VECTOR; j++)
                window[i].at[j] =
                    state ? state[((i64)sequence.number * channels + channel + j) * HISTORY + at] : 0.0f;
        }
    }
}

// What goes into the activation at a token whose input is window[HISTORY].
DEVICE Floats<VECTOR> convolve(const Floats<VECTOR> *window, const Taps &taps) {
    Floats<VECTOR> sum = taps.bias;
#pragma unroll
    for (int w = 0; w < TAPS; w++)
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum.at[j] += taps.weight[w].at[j] * window[w].at[j];
    return sum;
}

// Grid: (⌈C / VECTOR / 128⌉, ⌈tokens / TILE⌉), 128 threads.
KERNEL(short_convolution_forward)
(element *y, const element *x, const float *weight, const float *bias, const float *state, const int *boundaries,
 int sequences, int length, int channels, i64 tokens) {
    int channel = (blockIdx.x * 128 + threadIdx.x) * VECTOR;
    if (channel >= channels) return;
    i64 t = (i64)blockIdx.y * TILE, end = min(t + TILE, tokens);
    Taps taps;
    load_taps(taps, weight, bias, channel);
    while (t < end) {
        Sequence sequence = find_sequence(boundaries, sequences, length, t);
        i64 stop = min(end, sequence.end);
        Floats<VECTOR> window[HISTORY + BATCH];
        load_history(window, x, state, sequence, t, channel, channels);
        for (; t < stop; t += BATCH) {
#pragma unroll
            for (int i = 0; i < BATCH; i++)
                if (t + i < stop) load_vector(window[HISTORY + i], x + (t + i) * channels + channel);
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                if (t + i >= stop) break;
                Floats<VECTOR> out = convolve(window + i, taps);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) out.at[j] = activation_value(out.at[j]);
                store_vector(y + (t + i) * channels + channel, out);
            }
#pragma unroll
            for (int i = 0; i < HISTORY; i++) window[i] = window[i + BATCH];
        }
        t = stop;
    }
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

// dpre_t = dy_t act'(pre_t);  dx_s = Σ_w weight_w dpre_(s + HISTORY − w);  dweight_w = Σ_t dpre_t x_(t − HISTORY + w).
// A tile also computes dpre of the HISTORY tokens after it (within their sequence), which its last dx need; sums for
// weight and bias take its own tokens only: partial [tiles][TAPS + 1][C], bias last.
KERNEL(short_convolution_backward)
(element *dx, float *partial, float *dstate, const element *dy, const element *x, const float *weight,
 const float *bias, const float *state, const int *boundaries, int sequences, int length, int channels, i64 tokens) {
    int channel = (blockIdx.x * 128 + threadIdx.x) * VECTOR;
    if (channel >= channels) return;
    i64 begin = (i64)blockIdx.y * TILE, end = min(begin + TILE, tokens);
    Taps taps, sums;
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
        Floats<VECTOR> window[TAPS], slopes[TAPS];  // slopes: dpre of the last TAPS tokens, oldest first
        load_history(window, x, state, sequence, begin, channel, channels);
#pragma unroll
        for (int w = 0; w < TAPS; w++)
#pragma unroll
            for (int j = 0; j < VECTOR; j++) slopes[w].at[j] = 0;
#pragma unroll 1
        for (i64 first = begin; first < stop + HISTORY; first += BATCH) {
            Floats<VECTOR> inputs[BATCH], upstream[BATCH];
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                if (first + i >= min(sequence.end, stop + HISTORY)) break;
                load_vector(inputs[i], x + (first + i) * channels + channel);
                load_vector(upstream[i], dy + (first + i) * channels + channel);
            }
#pragma unroll
            for (int i = 0; i < BATCH; i++) {
                i64 t = first + i;
                if (t >= stop + HISTORY) break;
#pragma unroll
                for (int w = 0; w < HISTORY; w++) slopes[w] = slopes[w + 1];
                if (t < sequence.end) {
                    window[HISTORY] = inputs[i];
                    Floats<VECTOR> pre = convolve(window, taps);
#pragma unroll
                    for (int j = 0; j < VECTOR; j++) {
                        float slope = upstream[i].at[j] * activation_slope(pre.at[j]);
                        slopes[HISTORY].at[j] = slope;
                        float own = t < stop ? slope : 0.0f;
                        sums.bias.at[j] += own;
#pragma unroll
                        for (int w = 0; w < TAPS; w++) sums.weight[w].at[j] += own * window[w].at[j];
                    }
#pragma unroll
                    for (int w = 0; w < HISTORY; w++) window[w] = window[w + 1];
                } else {
#pragma unroll
                    for (int j = 0; j < VECTOR; j++) slopes[HISTORY].at[j] = 0;
                }
                i64 s = t - HISTORY;
                Floats<VECTOR> d;
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    d.at[j] = 0;
#pragma unroll
                    for (int w = 0; w < TAPS; w++) d.at[j] += taps.weight[w].at[j] * slopes[HISTORY - w].at[j];
                }
                if (s >= begin) {
                    store_vector(dx + s * channels + channel, d);
                } else if (dstate && begin == sequence.start) {
                    int at = (int)(s - begin) + HISTORY;
#pragma unroll
                    for (int j = 0; j < VECTOR; j++)
                        dstate[((i64)sequence.number * channels + channel + j) * HISTORY + at] = d.at[j];
                }
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
