// Depthwise causal convolution of a few taps. Channels are contiguous, so every loop runs along channels; time is
// walked row by row within a panel of channels whose weights, history and sums stay in the first-level cache.
#include "gdn_clones.h"
#include "gdn_ops.h"
#include <string.h>

#pragma STDC FP_CONTRACT ON

#define INLINE static inline __attribute__((always_inline))
#define PANEL 256
#define MAX_WIDTH 8
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (long c = 0; c < count; c++)

// out[c] = start[c] + Σ_w weight[w, c] · rows[w][c]
INLINE void weighted_rows(float *out, const float *start, const float *const *rows, const float *weight, long stride,
                          long count, long width) {
    const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
    const float *w0 = weight, *w1 = weight + stride, *w2 = weight + 2 * stride, *w3 = weight + 3 * stride;
    switch (width) {
    case 2:
        EACH out[c] = start[c] + w0[c] * r0[c] + w1[c] * r1[c];
        break;
    case 3:
        EACH out[c] = start[c] + w0[c] * r0[c] + w1[c] * r1[c] + w2[c] * r2[c];
        break;
    case 4:
        EACH out[c] = start[c] + w0[c] * r0[c] + w1[c] * r1[c] + w2[c] * r2[c] + w3[c] * r3[c];
        break;
    default:
        EACH out[c] = start[c] + w0[c] * r0[c];
        for (long w = 1; w < width; w++) {
            const float *row = rows[w], *scale = weight + w * stride;
            EACH out[c] += scale[c] * row[c];
        }
    }
}

// sums[w, c] += dz[c] · rows[w][c],  bias_sum[c] += dz[c]
INLINE void add_products(float *sums, float *bias_sum, const float *dz, const float *const *rows, long stride,
                         long count, long width) {
    if (width == 4) {
        const float *r0 = rows[0], *r1 = rows[1], *r2 = rows[2], *r3 = rows[3];
        float *s0 = sums, *s1 = sums + stride, *s2 = sums + 2 * stride, *s3 = sums + 3 * stride;
        EACH {
            s0[c] += dz[c] * r0[c];
            s1[c] += dz[c] * r1[c];
            s2[c] += dz[c] * r2[c];
            s3[c] += dz[c] * r3[c];
            bias_sum[c] += dz[c];
        }
        return;
    }
    EACH bias_sum[c] += dz[c];
    for (long w = 0; w < width; w++) {
        const float *row = rows[w];
        float *sum = sums + w * stride;
        EACH sum[c] += dz[c] * row[c];
    }
}

// The inputs that token t sees, oldest first, from column `first` on.
INLINE void rows_before(const float **rows, const float *x, const float *history, long t, long channels, long width,
                        long first) {
    for (long w = 0; w < width; w++) {
        long time = t - width + 1 + w;
        rows[w] = (time >= 0 ? x + time * channels : history + (time + width - 1) * channels) + first;
    }
}

// z_t = bias + Σ_w weight_w x_{t−W+1+w},  y_t = activation(z_t)
GDN_CLONES
void gdn_short_convolution_forward(float *y, const float *x, const float *history, const float *weight,
                                   const float *bias, int activation, long channels, long width, long from, long to) {
    const float *rows[MAX_WIDTH] = {0};
    for (long first = 0; first < channels; first += PANEL) {
        long count = channels - first < PANEL ? channels - first : PANEL;
        for (long t = from; t < to; t++) {
            float *out = y + t * channels + first;
            rows_before(rows, x, history, t, channels, width, first);
            weighted_rows(out, bias + first, rows, weight + first, channels, count, width);
            if (activation != GDN_ACTIVATION_NONE) gdn_activation_forward(out, out, activation, count);
        }
    }
}

// dz_t = dy_t activation′(z_t), z recomputed;  dw_w += dz_t x_{t−W+1+w};  dx_s = Σ_w weight_w dz_{s+W−1−w}.
// Tokens after `to` that still see ours are recomputed, so that no two calls write the same row.
GDN_CLONES
void gdn_short_convolution_backward(float *dx, float *dhistory, float *dweight, float *dbias, const float *dy,
                                    const float *x, const float *history, const float *weight, const float *bias,
                                    int activation, long channels, long width, long length, long from, long to) {
    static const float zeros[PANEL] = {0};
    float ring[MAX_WIDTH][PANEL], z[PANEL];
    const float *rows[MAX_WIDTH] = {0}, *later[MAX_WIDTH] = {0};
    long oldest = from == 0 && dhistory ? 1 - width : from;
    for (long first = 0; first < channels; first += PANEL) {
        long count = channels - first < PANEL ? channels - first : PANEL;
        memset(ring, 0, sizeof ring);
        for (long t = from; t < to + width - 1; t++) {
            float *dz = ring[t % width];
            if (t < length) {
                rows_before(rows, x, history, t, channels, width, first);
                const float *up = dy + t * channels + first;
                if (activation == GDN_ACTIVATION_NONE) {
                    memcpy(dz, up, (size_t)count * sizeof(float));
                } else {
                    weighted_rows(z, bias + first, rows, weight + first, channels, count, width);
                    gdn_activation_backward(dz, up, z, activation, count);
                }
                if (t < to)
                    add_products(dweight + first, dbias + first, dz, rows, channels, count, width);
            } else {
                memset(dz, 0, (size_t)count * sizeof(float));
            }
            long s = t - width + 1;
            if (s < oldest) continue;
            for (long w = 0; w < width; w++) {
                long time = s + width - 1 - w;
                later[w] = time >= 0 ? ring[time % width] : zeros;
            }
            float *out = (s >= 0 ? dx + s * channels : dhistory + (s + width - 1) * channels) + first;
            weighted_rows(out, zeros, later, weight + first, channels, count, width);
        }
    }
}

void gdn_short_convolution_step(float *y, float *next, const float *x, const float *state, const float *weight,
                                const float *bias, int activation, long channels, long width) {
    long taps = width - 1;
    for (long c = 0; c < channels; c++) {
        const float *scale = weight + c * width;
        float z = (bias ? bias[c] : 0.0f) + scale[taps] * x[c];
        for (long w = 0; w < taps; w++) {
            float old = state ? state[c * taps + w] : 0.0f;
            z += scale[w] * old;
            if (w > 0) next[c * taps + w - 1] = old;
        }
        if (taps > 0) next[c * taps + taps - 1] = x[c];
        y[c] = z;
    }
    gdn_activation_forward(y, y, activation, channels);
}

void gdn_short_convolution_state(float *state, const float *x, const float *history, long channels, long width,
                                 long length) {
    long taps = width - 1;
    for (long w = 0; w < taps; w++) {
        long time = length - taps + w;
        const float *row = time >= 0 ? x + time * channels : history + (time + taps) * channels;
        for (long c = 0; c < channels; c++) state[c * taps + w] = row[c];
    }
}

void gdn_short_convolution_state_backward(float *dx, float *dhistory, const float *dstate, long channels, long width,
                                          long length) {
    long taps = width - 1;
    for (long w = 0; w < taps; w++) {
        long time = length - taps + w;
        if (time < 0 && !dhistory) continue;
        float *row = time >= 0 ? dx + time * channels : dhistory + (time + taps) * channels;
        for (long c = 0; c < channels; c++) row[c] += dstate[c * taps + w];
    }
}

void gdn_short_convolution_transpose(float *to, const float *from, long rows, long columns) {
    for (long i = 0; i < rows; i++)
        for (long j = 0; j < columns; j++) to[j * rows + i] = from[i * columns + j];
}
