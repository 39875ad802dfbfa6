// Depthwise causal convolution of a few taps. Four tokens are computed at once, so that a row of x is loaded twice and
// not once a tap; a panel of channels is walked through time, so that its weights, sums and last rows stay in the
// first-level cache. Weights are packed by 16 channels: one register a tap, one pointer for all of them.
#include "gdn_clones.h"
#include "gdn_ops.h"
#include <string.h>

#pragma STDC FP_CONTRACT ON

#define INLINE static inline __attribute__((always_inline))
#define LANES GDN_SHORT_CONVOLUTION_LANES
#define MAX_WIDTH 8
// Tokens at once, and the rows they see.
#define GROUP 4
#define ROWS (GROUP + MAX_WIDTH - 1)
// Channels of a panel; wide rows spare the memory more than a small panel spares the cache.
#define PANEL 1024
// Rows of dz kept: those of a group and those before it that still count. A power of two not below ROWS.
#define RING 16

typedef float vector __attribute__((vector_size(4 * LANES)));

// One copy of a loop for each width: with a constant width the loops over taps vanish.
#define BY_WIDTH(call)      \
    switch (width) {        \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    case 6: call(6); break; \
    case 7: call(7); break; \
    default: call(8);       \
    }

static inline long least(long a, long b) { return a < b ? a : b; }

// Values go through pointers: a vector must not cross a function's boundary.
INLINE void load(vector *to, const float *from, long lanes) {
    if (lanes < LANES) memset(to, 0, sizeof *to);
    memcpy(to, from, lanes < LANES ? (size_t)lanes * sizeof(float) : sizeof *to);
}

INLINE void store(float *to, const vector *from, long lanes) {
    memcpy(to, from, lanes < LANES ? (size_t)lanes * sizeof(float) : sizeof *from);
}

// One tile of convolve, from channel c on.
INLINE void convolve_tile(float *const *out, const float *const *rows, const float *packed, long c, long lanes,
                          const int width, const int reversed) {
    vector taps[MAX_WIDTH], start = {0}, row;
    for (int w = 0; w < width; w++) load(&taps[w], packed + (reversed ? width - 1 - w : w) * LANES, LANES);
    if (!reversed) load(&start, packed + width * LANES, LANES);
    for (int i = 0; i < GROUP; i++) {
        vector sum = start;
        for (int w = 0; w < width; w++) {
            load(&row, rows[i + w] + c, lanes);
            sum += taps[w] * row;
        }
        store(out[i] + c, &sum, lanes);
    }
}

// out_i = bias + Σ_w weight_w rows_{i+w}; reversed: out_i = Σ_w weight_{W−1−w} rows_{i+w}
INLINE void convolve(float *const *out, const float *const *rows, const float *packed, long count, const int width,
                     const int reversed) {
    long c = 0;
    for (; c + LANES <= count; c += LANES, packed += (width + 1) * LANES)
        convolve_tile(out, rows, packed, c, LANES, width, reversed);
    if (c < count) convolve_tile(out, rows, packed, c, count - c, width, reversed);
}

// One tile of add_products, from channel c on.
INLINE void add_tile(float *sums, const float *const *dz, const float *const *rows, long c, long lanes,
                     const int width) {
    vector sum, row, up[GROUP];
    load(&sum, sums + width * LANES, LANES);
    for (int i = 0; i < GROUP; i++) {
        load(&up[i], dz[i] + c, lanes);
        sum += up[i];
    }
    store(sums + width * LANES, &sum, LANES);
    for (int w = 0; w < width; w++) {
        load(&sum, sums + w * LANES, LANES);
        for (int i = 0; i < GROUP; i++) {
            load(&row, rows[i + w] + c, lanes);
            sum += up[i] * row;
        }
        store(sums + w * LANES, &sum, LANES);
    }
}

// sums_w += Σ_i dz_i rows_{i+w}; behind the taps, as in the packed weights: += Σ_i dz_i
INLINE void add_products(float *sums, const float *const *dz, const float *const *rows, long count, const int width) {
    long c = 0;
    for (; c + LANES <= count; c += LANES, sums += (width + 1) * LANES) add_tile(sums, dz, rows, c, LANES, width);
    if (c < count) add_tile(sums, dz, rows, c, count - c, width);
}

void gdn_short_convolution_pack(float *packed, const float *weight, const float *bias, long channels, long width) {
    long tiles = (channels + LANES - 1) / LANES;
    memset(packed, 0, (size_t)(tiles * (width + 1) * LANES) * sizeof(float));
    for (long c = 0; c < channels; c++) {
        float *tile = packed + c / LANES * (width + 1) * LANES + c % LANES;
        for (long w = 0; w < width; w++) tile[w * LANES] = weight[c * width + w];
        if (bias) tile[width * LANES] = bias[c];
    }
}

void gdn_short_convolution_unpack(float *weight, float *bias, const float *packed, long channels, long width) {
    for (long c = 0; c < channels; c++) {
        const float *tile = packed + c / LANES * (width + 1) * LANES + c % LANES;
        for (long w = 0; w < width; w++) weight[c * width + w] = tile[w * LANES];
        if (bias) bias[c] = tile[width * LANES];
    }
}

// What the tokens t … t + GROUP − 1 see, oldest first, from column `first` on; zeros from token `end` on.
INLINE void rows_around(const float **rows, const float *x, const float *history, long t, long end, long channels,
                        long width, long first, const float *zeros) {
    for (long j = 0; j < GROUP + width - 1; j++) {
        long time = t - width + 1 + j;
        rows[j] = time >= end ? zeros
                  : time >= 0 ? x + time * channels + first
                              : history + (time + width - 1) * channels + first;
    }
}

// z_t = bias + Σ_w weight_w x_{t−W+1+w},  y_t = activation(z_t)
GDN_CLONES
void gdn_short_convolution_forward(float *y, const float *x, const float *history, const float *packed,
                                   int activation, long channels, long width, long from, long to) {
    // A row outside the range reads zeros and writes where nobody looks.
    float zeros[PANEL] = {0}, spare[PANEL];
    const float *rows[ROWS] = {0};
    float *out[GROUP];
    for (long first = 0; first < channels; first += PANEL) {
        long count = least(PANEL, channels - first);
        const float *weight = packed + first * (width + 1);
        for (long t = from; t < to; t += GROUP) {
            rows_around(rows, x, history, t, to, channels, width, first, zeros);
            for (long i = 0; i < GROUP; i++) out[i] = t + i < to ? y + (t + i) * channels + first : spare;
#define CALL(width) convolve(out, rows, weight, count, width, 0)
            BY_WIDTH(CALL)
#undef CALL
            if (activation == GDN_ACTIVATION_NONE) continue;
            for (long i = 0; i < GROUP && t + i < to; i++)
                gdn_activation_forward(out[i], out[i], activation, count);
        }
    }
}

// dz_t = dy_t activation′(z_t), z recomputed;  dw_w += dz_t x_{t−W+1+w};  dx_s = Σ_w weight_w dz_{s+W−1−w}.
// Tokens after `to` that still see ours are recomputed, so that no two calls write the same row.
GDN_CLONES
void gdn_short_convolution_backward(float *dx, float *dhistory, float *sums, const float *dy, const float *x,
                                    const float *history, const float *packed, int activation, long channels,
                                    long width, long length, long from, long to) {
    float zeros[PANEL] = {0}, spare[PANEL], ring[RING][PANEL];
    const float *rows[ROWS] = {0}, *later[ROWS] = {0}, *dz[GROUP];
    float *out[GROUP];
    long oldest = from == 0 && dhistory ? 1 - width : from;
    for (long first = 0; first < channels; first += PANEL) {
        long count = least(PANEL, channels - first);
        const float *weight = packed + first * (width + 1);
        // Groups do not straddle `to`: the tokens after it count for dx alone, those after the end are zeros.
        for (long t = from, next; t < to + width - 1; t = next) {
            next = least(t + GROUP, t < to ? to : to + width - 1);
            long known = least(next, length);
            rows_around(rows, x, history, t, known, channels, width, first, zeros);
            for (long i = 0; i < GROUP; i++) {
                out[i] = t + i < known ? ring[(t + i) % RING] : spare;
                dz[i] = t + i < known ? out[i] : zeros;
            }
            if (activation != GDN_ACTIVATION_NONE && t < known) {
#define CALL(width) convolve(out, rows, weight, count, width, 0)
                BY_WIDTH(CALL)
#undef CALL
            }
            for (long i = 0; t + i < known; i++)
                gdn_activation_backward(out[i], dy + (t + i) * channels + first, out[i], activation, count);
            if (t < to) {
#define CALL(width) add_products(sums + first * (width + 1), dz, rows, count, width)
                BY_WIDTH(CALL)
#undef CALL
            }
            // Now dx of the tokens that no later one sees: s = t − W + 1 + i.
            if (next - width < oldest) continue;
            for (long j = 0; j < GROUP + width - 1; j++) {
                long time = t - width + 1 + j;
                later[j] = time >= from && time < known ? ring[time % RING] : zeros;
            }
            for (long i = 0; i < GROUP; i++) {
                long s = t - width + 1 + i;
                out[i] = s < oldest || t + i >= next ? spare
                         : s >= 0                    ? dx + s * channels + first
                                                     : dhistory + (s + width - 1) * channels + first;
            }
#define CALL(width) convolve(out, later, weight, count, width, 1)
            BY_WIDTH(CALL)
#undef CALL
        }
    }
}

INLINE void step(float *restrict y, float *restrict next, const float *x, const float *state, const float *weight,
                 long channels, const int width) {
    for (long c = 0; c < channels; c++) {
        float z = y[c] + weight[c * width + width - 1] * x[c];
        for (int w = 0; w < width - 1; w++) z += weight[c * width + w] * state[c * (width - 1) + w];
        for (int w = 0; w < width - 2; w++) next[c * (width - 1) + w] = state[c * (width - 1) + w + 1];
        if (width > 1) next[c * (width - 1) + width - 2] = x[c];
        y[c] = z;
    }
}

GDN_CLONES
void gdn_short_convolution_step(float *y, float *next, const float *x, const float *state, const float *weight,
                                const float *bias, int activation, long channels, long width) {
    if (bias)
        memcpy(y, bias, (size_t)channels * sizeof(float));
    else
        memset(y, 0, (size_t)channels * sizeof(float));
#define CALL(width) step(y, next, x, state, weight, channels, width)
    BY_WIDTH(CALL)
#undef CALL
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
