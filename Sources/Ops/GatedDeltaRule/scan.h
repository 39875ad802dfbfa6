// The part of the backward that goes from chunk to chunk: dV and the gradient of the state.
// Value columns do not mix here either, so panels can be left to different threads.
#ifndef GDN_GATED_DELTA_RULE_SCAN_H
#define GDN_GATED_DELTA_RULE_SCAN_H

#include "chunk.h"

/// What the scan leaves for the gradients of one chunk of one value head.
typedef struct {
    float *d_value;               // [C, V]
    float *d_state_transposed;    // [V, K] gradient of the state at the chunk's end
    float *beta_lanes, *rho_lanes; // a panel [C, 16]: lanes of Y_i·E_i and of k_i·[ρ U dSᵀ]_i
} scan_result;

GDN_INLINE long scan_result_floats(long keys, long values) { return 2 * CHUNK * values + keys * values; }

GDN_INLINE scan_result take_scan_result(float **scratch, long keys, long values) {
    scan_result r;
    r.d_value = take(scratch, CHUNK * values);
    r.d_state_transposed = take(scratch, keys * values);
    r.beta_lanes = take(scratch, CHUNK * values / 2);
    r.rho_lanes = take(scratch, CHUNK * values / 2);
    return r;
}

/// The gradient of the outputs and what was written, of one chunk of one value head.
typedef struct {
    float *d_output, *writes;  // [C, V] dO and U = β ⊙ E
} head_values;

GDN_INLINE head_values take_values(float **scratch, long values) {
    head_values v;
    v.d_output = take(scratch, CHUNK * values);
    v.writes = take(scratch, CHUNK * values);
    return v;
}

/// Reads one panel of both.
GDN_INLINE void load_values(const head_values *v, const float *d_output, const float *errors, const float *beta,
                            long panel, long stride, long count, long width) {
    long offset = panel * PANEL * CHUNK;
    if (d_output)
        gather_panel(v->d_output + offset, d_output + panel * PANEL, stride, count, CHUNK, width - panel * PANEL);
    else
        memset(v->d_output + offset, 0, sizeof(float) * CHUNK * PANEL);
    scale_rows(v->writes + offset, errors + offset, beta, 1, CHUNK, PANEL);
}

// Rows of Y from what later rows have left in `t`; dV = β ⊙ Y.
GDN_INLINE void substitute_backward(tile *t, const float *erase, const float *beta, float *d_value) {
#pragma clang loop unroll(full)
    for (int back = 0; back < TILE; back++) {
        int r = TILE - 1 - back;
        lanes v0 = t->at[r][0] * beta[r], v1 = t->at[r][1] * beta[r];
        AT(d_value + r * PANEL) = v0;
        AT(d_value + r * PANEL + LANES) = v1;
#pragma clang loop unroll(full)
        for (int above = 0; above < r; above++) {
            t->at[above][0] += v0 * erase[r * PANEL + above];
            t->at[above][1] += v1 * erase[r * PANEL + above];
        }
    }
}

/// One panel of values back through one chunk: dV, the row dots, and dS to dS0.
GDN_INLINE void scan_panel(const chunk_gates *g, const head_values *v, const scan_result *result, float *d_state,
                           const float *errors, long panel, long keys, long values, long rows) {
    long offset = panel * PANEL * CHUNK, lane_offset = panel * LANES * CHUNK;
    const float *d_output = v->d_output + offset, *writes = v->writes + offset;
    float *d_value = result->d_value + offset;
    for (long i = 0; i < keys; i += PANEL)
        transpose_block(result->d_state_transposed + i * values + panel * PANEL * PANEL, d_state + i * PANEL);
    for (long j = rows - TILE; j >= 0; j -= TILE) {
        const float *column = g->erase + j / PANEL * PANEL * CHUNK + j % PANEL;
        long below = j + TILE;
        tile t;
        tile_zero(&t);
        tile_add_panels(&t, g->k_rho, CHUNK, j, d_state, keys);
        tile_row_dots(&t, writes + j * PANEL, result->rho_lanes + lane_offset + j * LANES);
        tile_add_transposed(&t, g->read + j / PANEL * PANEL * CHUNK + j % PANEL + j * PANEL, d_output + j * PANEL,
                            rows - j);
        tile_add_transposed(&t, column + below * PANEL, d_value + below * PANEL, rows - below);
        substitute_backward(&t, column + j * PANEL, g->beta + j, d_value + j * PANEL);
        tile_row_dots(&t, errors + offset + j * PANEL, result->beta_lanes + lane_offset + j * LANES);
    }
    for (long i = 0; i < keys; i += TILE) {
        long at = i / PANEL * PANEL * CHUNK + i % PANEL;
        tile t;
        tile_load(&t, d_state + i * PANEL, g->total);
        tile_add_transposed(&t, g->k_gamma + at, d_value, rows);
        tile_add_transposed(&t, g->q_gamma + at, d_output, rows);
        tile_store(&t, d_state + i * PANEL);
    }
}

#endif
