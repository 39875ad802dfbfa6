// Backward: computes what goes into the activation again.
#ifndef STAGES_WANTED
#define STAGES_WANTED 2
#endif

// dpre_t = dy_t act'(pre_t), where window entry `newest` (modulo TAPS) holds x_t; and, for a token of the tile (`own`), its
// part of dweight_w = Σ_t dpre_t x_(t − HISTORY + w) and of dbias = Σ_t dpre_t.
DEVICE Floats<VECTOR> slope_at(const Floats<VECTOR> *window, int newest, const Floats<VECTOR> &dy,
                               const Taps<VECTOR> &taps, Taps<VECTOR> &sums, bool own) {
    Floats<VECTOR> slope = convolve(window, newest, taps);
#pragma unroll
    for (int j = 0; j < VECTOR; j++) slope.at[j] = dy.at[j] * activation_slope<ACTIVATION>(slope.at[j]);
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
// weight and bias take its own tokens only: partial [grid's blocks in time][TAPS + BIAS][channels of all parts].
BOUNDED_KERNEL(short_convolution_backward, THREADS_A_BLOCK, BLOCKS)
(EACH_PART(element *, dx), EACH_PART(float *, dstate), EACH_PART(const element *, dy), EACH_PART(const element *, x),
 EACH_PART(const float *, weight), EACH_PART(const float *, state), EACH_PART(int, channels), float *partial,
 const float *bias, const int *boundaries, int sequences, int length, int pitch, int tokens, int tile) {
    constexpr int N = VECTOR, SUMS = TAPS + BIAS, SUM_BYTES = SUMS * THREADS_A_BLOCK * N * 4;
    typedef Ring<N, 2, STAGES_WANTED> Inputs;
    typedef StagedTaps<N> Weights;
    constexpr int STAGES = Inputs::STAGES;
    __shared__ __align__(16) char memory[2 * Inputs::BYTES > SUM_BYTES ? 2 * Inputs::BYTES : SUM_BYTES];
    __shared__ __align__(16) float staged[Weights::FLOATS];
    Inputs ring_x(memory), ring_dy(memory + Inputs::BYTES);
    Part part = part_of_block(channels0, channels1);
    element *dx = OF_PART(dx);
    const element *dy = OF_PART(dy), *x = OF_PART(x);
    const float *weight = OF_PART(weight), *state = OF_PART(state);
    int channels = OF_PART(channels);
    int channel = (part.block * 32 + lane_id()) * N, t = (blockIdx.y * WARPS + threadIdx.x / 32) * tile;
    int end = channel < channels ? min(t + tile, tokens) : 0;
    Taps<N> taps, sums;
    Weights::stage(staged, weight, part.block, channels);
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
        bool wants_state = OF_PART(dstate) && t == sequence.start;
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
                float *dstate = OF_PART(dstate);
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
    int total = channels0 + channels1 + channels2;
    int before = channels_before(part, channels0, channels1);
    for (int i = threadIdx.x; i < SUMS * 32 * N; i += THREADS_A_BLOCK) {
        int w = i / (32 * N), within = i % (32 * N), own = part.block * 32 * N + within;
        const float *from = gathered + (w * N + within % N) * THREADS_A_BLOCK + within / N;
        float sum = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) sum += from[32 * warp];
        if (own < channels) partial[((i64)blockIdx.y * SUMS + w) * total + before + own] = sum;
    }
}

// Adds the gradient of the final state to the inputs it was taken from. Grid: N · C threads.
KERNEL(short_convolution_backward_state)
(element *dx, float *dstate, const float *dfinal, const int *boundaries, int sequences, int length, int channels,
 int pitch) {
    i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (i64)sequences * channels) return;
    StateChannel own = find_state_channel(i, boundaries, length, channels);
    for (int at = 0; at < HISTORY; at++) {
        i64 from = own.end - HISTORY + at;
        float d = dfinal[i * HISTORY + at];
        if (from >= own.start) {
            from_float(&dx[from * pitch + own.channel], to_float(dx[from * pitch + own.channel]) + d);
        } else if (dstate) {
            dstate[i * HISTORY + (int)(from - own.start) + HISTORY] += d;
        }
    }
}

// dweight [C, TAPS] of each part and, where there is a bias (of the only part), dbias [C], from column sums
// [TAPS + BIAS][channels of all parts]. Grid: that many threads.
KERNEL(short_convolution_backward_weight)
(EACH_PART(float *, dweight), EACH_PART(int, channels), float *dbias, const float *sums) {
    int channel = blockIdx.x * blockDim.x + threadIdx.x, total = channels0 + channels1 + channels2;
    if (channel >= total) return;
    Part part = {channel < channels0 ? 0 : channel < channels0 + channels1 ? 1 : 2, 0};
    int own = channel - channels_before(part, channels0, channels1);
    float *dweight = OF_PART(dweight);
    for (int w = 0; w < TAPS; w++) dweight[own * TAPS + w] = sums[w * total + channel];
    if (dbias) dbias[channel] = sums[TAPS * total + channel];
}
