// The part of the backward that each chunk does by itself once the scan has passed: dQ, dK, dg, dβ.
#ifndef GDN_GATED_DELTA_RULE_GRADIENTS_H
#define GDN_GATED_DELTA_RULE_GRADIENTS_H

#include "scan.h"

/// Work space of one value head.
typedef struct {
    float *scaled_writes;       // [C, V] ρ ⊙ U
    float *writes_transposed;   // [V, C]
    float *d_read, *d_erase;    // [C, C] dO Uᵀ then dP; dV Uᵀ then N
    float *q_lanes, *k_lanes;   // a key panel [C, 16]: lanes of q_i·[s γ dO S0ᵀ]_i and of −k_i·[γ dV S0ᵀ]_i
} gradient_space;

GDN_INLINE long gradient_floats(long keys, long values) {
    return 2 * CHUNK * values + 2 * CHUNK * CHUNK + CHUNK * keys;
}

GDN_INLINE gradient_space take_gradients(float **scratch, long keys, long values) {
    gradient_space s;
    s.scaled_writes = take(scratch, CHUNK * values);
    s.writes_transposed = take(scratch, CHUNK * values);
    s.d_read = take(scratch, CHUNK * CHUNK);
    s.d_erase = take(scratch, CHUNK * CHUNK);
    s.q_lanes = take(scratch, CHUNK * keys / 2);
    s.k_lanes = take(scratch, CHUNK * keys / 2);
    return s;
}

/// dO Uᵀ and dV Uᵀ become dP and N; db receives the row sums of H minus its column sums.
GDN_INLINE void score_gradients(const chunk_gates *g, const gradient_space *space, float scale, long rows, float *db) {
    float column_sums[CHUNK] = {0};
    memset(db, 0, sizeof(float) * CHUNK);
    for (long j = 0; j < rows; j += PANEL) {
        lanes below_left = {0}, below_right = {0};
        for (long i = j; i < rows; i++) {
            long at = j * CHUNK + i * PANEL;
            float *d_read = space->d_read + at, *d_erase = space->d_erase + at;
            const float *decay = g->decay + at;
            int diagonal = i < j + PANEL;
            float kept = diagonal ? d_read[i - j] : 0;
            if (diagonal) d_read[i - j] = d_erase[i - j] = 0;
            float row[LANES];
            lanes sum = {0};
            for (int half = 0; half < PANEL; half += LANES) {
                lanes read = AT(d_read + half), erase = AT(d_erase + half), ratio = AT(decay + half);
                lanes product = read * AT(g->read + at + half) + erase * AT(g->erase + at + half);
                sum += product;
                if (half == 0)
                    below_left += product;
                else
                    below_right += product;
                AT(d_read + half) = read * ratio * scale;
                AT(d_erase + half) = -erase * ratio;
            }
            if (diagonal) d_read[i - j] = kept * scale;
            AT(row) = sum;
            db[i] += lane_sum(row);
        }
        AT(column_sums + j) = below_left;
        AT(column_sums + j + LANES) = below_right;
    }
    for (long i = 0; i < rows; i++) db[i] -= column_sums[i];
}

/// One panel of dQ and dK, added to what earlier value heads left there.
GDN_INLINE void key_gradients(const chunk_keys *c, const chunk_gates *g, const head_values *v, const scan_result *scan,
                              const gradient_space *space, const float *state, float *dq, float *dk, long panel,
                              long values, const gdn_delta_shape *shape, long rows, int first) {
    long offset = panel * PANEL * CHUNK, lane_offset = panel * LANES * CHUNK;
    const float *k = c->k + offset, *q = c->q + offset;
    const float *s = state + panel * PANEL * values, *ds = scan->d_state_transposed + panel * PANEL * values;
    for (long i = 0; i < rows; i += TILE) {
        long column = i / PANEL * PANEL * CHUNK + i % PANEL + i * PANEL;
        tile t;
        tile_zero(&t);
        tile_add_panels(&t, v->d_output, CHUNK, i, s, values);
        tile_scale_rows(&t, g->gamma + i, shape->scale);
        tile_row_dots(&t, q + i * PANEL, space->q_lanes + lane_offset + i * LANES);
        tile_add_panels(&t, space->d_read, CHUNK, i, k, i + TILE);
        if (!first) tile_add_tile(&t, dq + offset + i * PANEL);
        tile_store(&t, dq + offset + i * PANEL);

        tile_zero(&t);
        if (shape->erases) tile_add_panels(&t, scan->d_value, CHUNK, i, s, values);
        tile_scale_rows(&t, g->gamma + i, -1);
        tile_row_dots(&t, k + i * PANEL, space->k_lanes + lane_offset + i * LANES);
        tile_add_panels(&t, space->scaled_writes, CHUNK, i, ds, values);
        tile_add_transposed(&t, space->d_read + column, q + i * PANEL, rows - i);
        if (shape->erases) {
            tile_add_transposed(&t, space->d_erase + column, k + i * PANEL, rows - i);
            tile_add_panels(&t, space->d_erase, CHUNK, i, k, i + TILE);
        }
        if (!first) tile_add_tile(&t, dk + offset + i * PANEL);
        tile_store(&t, dk + offset + i * PANEL);
    }
}

/// The dot products of all rows from their lanes in all panels.
GDN_INLINE void row_sums(float *sums, const float *row_lanes, long columns, long rows) {
    for (long i = 0; i < rows; i++) {
        float row[LANES];
        lanes sum = {0};
        for (long panel = 0; panel < columns / PANEL; panel++) sum += AT(row_lanes + (panel * CHUNK + i) * LANES);
        AT(row) = sum;
        sums[i] = lane_sum(row);
    }
}

/// dg and dβ of one chunk of one head from the row dots.
GDN_INLINE void gate_gradients(const chunk_gates *g, const scan_result *scan, const gradient_space *space,
                               const float *state, long keys, long values, float *db, long count, long heads,
                               float *d_log_decay, float *d_beta) {
    float sums[CHUNK];
    if (d_beta) {
        row_sums(sums, scan->beta_lanes, values, count);
        for (long i = 0; i < count; i++) d_beta[i * heads] = sums[i];
    }
    if (!d_log_decay) return;
    lanes parts[4] = {{0}, {0}, {0}, {0}};
    for (long i = 0; i < keys * values; i += 4 * LANES)
        for (int part = 0; part < 4; part++)
            parts[part] += AT(state + i + part * LANES) * AT(scan->d_state_transposed + i + part * LANES);
    float inner[LANES];
    AT(inner) = (parts[0] + parts[1]) + (parts[2] + parts[3]);
    float end = g->total * lane_sum(inner);
    row_sums(sums, space->q_lanes, keys, count);
    for (long i = 0; i < count; i++) db[i] += sums[i];
    row_sums(sums, space->k_lanes, keys, count);
    for (long i = 0; i < count; i++) db[i] += sums[i];
    row_sums(sums, scan->rho_lanes, values, count);
    for (long i = 0; i < count; i++) db[i] -= sums[i];
    for (long i = 0; i < count; i++) end += sums[i];
    for (long i = count - 1; i >= 0; i--) d_log_decay[i * heads] = end += db[i];
}

#endif
