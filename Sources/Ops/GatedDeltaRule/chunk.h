// What forward and backward both need of one chunk of one head: keys, queries, gates and the two score matrices.
//
// Rows of a chunk that lie past the end of the sequence have k = q = 0, α = 1, β = 0: they change nothing.
#ifndef GDN_GATED_DELTA_RULE_CHUNK_H
#define GDN_GATED_DELTA_RULE_CHUNK_H

#include "panel.h"

/// Keys and queries of one chunk of one key head.
typedef struct {
    float *k, *q;          // [C, K]
    float *k_transposed;   // [K, C]
    float *kk, *qk;        // [C, C] k_i·k_j and q_i·k_j for i ≥ j
    float *wide;           // 8 rows of keys in double
} chunk_keys;

/// Gates of one chunk of one value head, and what they make of the scores.
typedef struct {
    float alpha[CHUNK], beta[CHUNK];
    float gamma[CHUNK];   // γ_i = Π_{m ≤ i} α_m
    float rho[CHUNK];     // ρ_i = Π_{m > i} α_m
    float total;          // γ of the last row
    float *decay;         // [C, C] Γ_ij = Π_{j < m ≤ i} α_m for i ≥ j, else 0
    float *erase;         // [C, C] −Γ_ij k_i·k_j for i > j, else 0; all 0 where nothing is erased
    float *read;          // [C, C] s Γ_ij q_i·k_j for i ≥ j, else 0
    float *k_gamma;       // [C, K] −γ_i k_i; all 0 where nothing is erased
    float *q_gamma;       // [C, K] s γ_i q_i
    float *k_rho;         // [C, K] ρ_i k_i
} chunk_gates;

/// Cuts a scratch area into pieces.
GDN_INLINE float *take(float **scratch, long count) {
    float *piece = *scratch;
    *scratch += count;
    return piece;
}

GDN_INLINE chunk_keys take_keys(float **scratch, long keys) {
    chunk_keys c;
    c.k = take(scratch, CHUNK * keys);
    c.q = take(scratch, CHUNK * keys);
    c.k_transposed = take(scratch, CHUNK * keys);
    c.kk = take(scratch, CHUNK * CHUNK);
    c.qk = take(scratch, CHUNK * CHUNK);
    c.wide = take(scratch, 2 * TILE * keys);
    return c;
}

GDN_INLINE void take_gates(chunk_gates *c, float **scratch, long keys) {
    c->decay = take(scratch, CHUNK * CHUNK);
    c->erase = take(scratch, CHUNK * CHUNK);
    c->read = take(scratch, CHUNK * CHUNK);
    c->k_gamma = take(scratch, CHUNK * keys);
    c->q_gamma = take(scratch, CHUNK * keys);
    c->k_rho = take(scratch, CHUNK * keys);
}

/// Floats that `take_keys` and `take_gates` take for `keys` padded key columns.
GDN_INLINE long chunk_floats(long keys) { return 6 * CHUNK * keys + 2 * TILE * keys + 5 * CHUNK * CHUNK; }

/// k_i·k_j on and below the diagonal, summed in double and rounded once.
///
/// Where keys resemble each other and β is near 2, errors of these products come back multiplied by the square root of
/// the chunk length: here a float32 sum would cost a factor of four in accuracy. Tiles are 8 rows × 16 columns.
GDN_INLINE void key_products(float *kk, const float *k, const float *transposed, long rows, long keys, double *wide) {
    for (long i = 0; i < rows; i += TILE) {
        for (long p = 0; p < keys; p += PANEL)
            for (long r = 0; r < TILE; r++)
                for (long x = 0; x < PANEL; x++) wide[r * keys + p + x] = k[p * CHUNK + (i + r) * PANEL + x];
        for (long j = 0; j < round_up(i + TILE, PANEL); j += LANES) {
            float *to = kk + j / PANEL * PANEL * CHUNK + i * PANEL + j % PANEL;
            const float *b = transposed + j / PANEL * PANEL * keys + j % PANEL;
            wide_lanes sums[TILE][2] = {0};
            for (long p = 0; p < (j < i + TILE ? keys : 0); p++) {
                wide_lanes b0 = __builtin_convertvector(*(half_lanes *)(b + p * PANEL), wide_lanes);
                wide_lanes b1 = __builtin_convertvector(*(half_lanes *)(b + p * PANEL + LANES / 2), wide_lanes);
#pragma clang loop unroll(full)
                for (int r = 0; r < TILE; r++) {
                    sums[r][0] += b0 * wide[r * keys + p];
                    sums[r][1] += b1 * wide[r * keys + p];
                }
            }
#pragma clang loop unroll(full)
            for (int r = 0; r < TILE; r++) {
                *(half_lanes *)(to + r * PANEL) = __builtin_convertvector(sums[r][0], half_lanes);
                *(half_lanes *)(to + r * PANEL + LANES / 2) = __builtin_convertvector(sums[r][1], half_lanes);
            }
        }
    }
}

/// Reads `count` tokens and forms k_i·k_j and q_i·k_j.
GDN_INLINE void prepare_keys(chunk_keys *c, const gdn_delta_shape *shape, const float *q, const float *k, long count) {
    long keys = round_up(shape->key_dim, PANEL), rows = round_up(count, TILE);
    long stride = shape->key_heads * shape->key_dim;
    gather(c->k, k, stride, count, CHUNK, shape->key_dim);
    gather(c->q, q, stride, count, CHUNK, shape->key_dim);
    transpose_panels(c->k_transposed, c->k, CHUNK, keys);
    key_products(c->kk, c->k, c->k_transposed, rows, keys, (double *)c->wide);
    lower_product(c->qk, c->q, c->k_transposed, rows, keys);
}

/// Reads the gates of `count` tokens and forms the products of decays.
///
/// Γ comes row by row, Γ_i = α_i Γ_{i−1}, as the recurrence itself would multiply: one exponential a token, of a number
/// that is not positive; nothing can overflow, a decay to zero stays an exact zero, and no large sums of logarithms
/// are subtracted from each other. A negative β counts as 0.
/// Where nothing is erased, `erase` and `k_gamma` are zero: the errors are the values.
GDN_INLINE void prepare_gates(chunk_gates *g, const chunk_keys *c, const gdn_delta_shape *shape,
                              const float *log_decay, const float *beta, long count) {
    long keys = round_up(shape->key_dim, PANEL), rows = round_up(count, TILE), heads = shape->value_heads;
    for (long i = 0; i < CHUNK; i++) {
        g->alpha[i] = i < count && log_decay ? log_decay[i * heads] : 0;
        float strength = i >= count ? 0 : beta ? beta[i * heads] : 1;
        g->beta[i] = strength < 0 ? 0 : strength;
    }
    for (long i = 0; i < CHUNK; i++) g->alpha[i] = gdn_expf(g->alpha[i]);
    float gamma = 1;
    for (long i = 0; i < CHUNK; i++) g->gamma[i] = gamma *= g->alpha[i];
    g->total = g->gamma[rows - 1];

    for (long j = 0; j < rows; j += PANEL) {
        float *decay = g->decay + j * CHUNK, *erase = g->erase + j * CHUNK, *read = g->read + j * CHUNK;
        const float *kk = c->kk + j * CHUNK, *qk = c->qk + j * CHUNK;
        lanes left = {0}, right = {0};
        for (long i = j; i < rows; i++) {
            float *row = decay + i * PANEL;
            AT(row) = left * g->alpha[i];
            AT(row + LANES) = right * g->alpha[i];
            if (i < j + PANEL) row[i - j] = 1;
            left = AT(row);
            right = AT(row + LANES);
            AT(erase + i * PANEL) = -left * AT(kk + i * PANEL);
            AT(erase + i * PANEL + LANES) = -right * AT(kk + i * PANEL + LANES);
            AT(read + i * PANEL) = left * AT(qk + i * PANEL) * shape->scale;
            AT(read + i * PANEL + LANES) = right * AT(qk + i * PANEL + LANES) * shape->scale;
            if (i < j + PANEL) erase[i * PANEL + i - j] = 0;
        }
        memcpy(g->rho + j, decay + (rows - 1) * PANEL, sizeof(float) * PANEL);
    }
    scale_rows(g->q_gamma, c->q, g->gamma, shape->scale, rows, keys);
    scale_rows(g->k_rho, c->k, g->rho, 1, rows, keys);
    if (shape->erases) {
        scale_rows(g->k_gamma, c->k, g->gamma, -1, rows, keys);
    } else {
        memset(g->k_gamma, 0, sizeof(float) * CHUNK * keys);
        memset(g->erase, 0, sizeof(float) * CHUNK * CHUNK);
    }
}

#endif
