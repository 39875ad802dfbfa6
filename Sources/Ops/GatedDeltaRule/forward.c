// The gated delta rule forward, chunk by chunk, one value head of one sequence at a time.
//
// With the state S at the start of a chunk, E the errors before the write strength and U = β ⊙ E what is written:
//     E_i = v_i − γ_i Sᵀk_i − Σ_{j<i} Γ_ij (k_i·k_j) U_j        a triangular solve, by forward substitution
//     O_i = s γ_i Sᵀq_i + Σ_{j≤i} s Γ_ij (q_i·k_j) U_j
//     S   = γ_C S + Σ_i ρ_i k_i U_iᵀ
// Where nothing is erased, E_i = v_i: linear attention.
// No inverse is formed: substitution costs half of what applying an inverse costs, in the same tiles.
// Value columns never mix, so each panel of 32 goes through a chunk by itself, on any thread.
#include "chunk.h"

// Eight rows of E from what the state and the rows before them have left in `t`, and U from E.
GDN_INLINE void substitute_forward(tile *t, const float *erase, const float *beta, float *errors, float *writes) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        lanes u0 = t->at[r][0] * beta[r], u1 = t->at[r][1] * beta[r];
        AT(writes + r * PANEL) = u0;
        AT(writes + r * PANEL + LANES) = u1;
#pragma clang loop unroll(full)
        for (int below = r + 1; below < TILE; below++) {
            t->at[below][0] += u0 * erase[below * PANEL + r];
            t->at[below][1] += u1 * erase[below * PANEL + r];
        }
    }
    tile_store(t, errors);
}

/// One panel of values through one chunk: values in `errors` become E, `state` moves on, outputs are written.
GDN_INLINE void forward_panel(const chunk_gates *g, float *state, float *errors, float *writes, float *outputs,
                              long keys, long rows) {
    for (long i = 0; i < rows; i += TILE) {
        tile t;
        tile_load(&t, errors + i * PANEL, 1);
        tile_add_panels(&t, g->k_gamma, CHUNK, i, state, keys);
        tile_add_panels(&t, g->erase, CHUNK, i, writes, i);
        const float *block = g->erase + i / PANEL * PANEL * CHUNK + i * PANEL + i % PANEL;
        substitute_forward(&t, block, g->beta + i, errors + i * PANEL, writes + i * PANEL);

        tile_zero(&t);
        tile_add_panels(&t, g->q_gamma, CHUNK, i, state, keys);
        tile_add_panels(&t, g->read, CHUNK, i, writes, i + TILE);
        tile_store(&t, outputs + i * PANEL);
    }
    for (long i = 0; i < keys; i += TILE) {
        tile t;
        tile_load(&t, state + i * PANEL, g->total);
        tile_add_transposed(&t, g->k_rho + i / PANEL * PANEL * CHUNK + i % PANEL, writes, rows);
        tile_store(&t, state + i * PANEL);
    }
}

long gdn_delta_forward_scratch(const gdn_delta_shape *shape) {
    long keys = round_up(shape->key_dim, PANEL), values = round_up(shape->value_dim, PANEL);
    return chunk_floats(keys) + keys * values + 3 * CHUNK * PANEL;
}

GDN_CLONES
void gdn_delta_forward(const gdn_delta_shape *shape, long time, long first_panel, long panel_count,
                       const gdn_delta_inputs *in, float *output, float *final_state, float *saved_errors,
                       float *saved_states, float *scratch) {
    long keys = round_up(shape->key_dim, PANEL), values = round_up(shape->value_dim, PANEL);
    long key_stride = shape->key_heads * shape->key_dim, value_stride = shape->value_heads * shape->value_dim;
    chunk_keys chunk = take_keys(&scratch, keys);
    chunk_gates gates;
    take_gates(&gates, &scratch, keys);
    float *writes = take(&scratch, CHUNK * PANEL), *outputs = take(&scratch, CHUNK * PANEL);
    float *local_errors = take(&scratch, CHUNK * PANEL);
    float *states = scratch;

    for (long panel = first_panel; panel < first_panel + panel_count; panel++) {
        float *state = states + panel * PANEL * keys;
        long column = panel * PANEL;
        if (in->initial_state) {
            gather_panel(state, in->initial_state + column, shape->value_dim, shape->key_dim, keys,
                         shape->value_dim - column);
        } else {
            memset(state, 0, sizeof(float) * PANEL * keys);
        }
    }
    for (long start = 0; start < time; start += CHUNK) {
        long count = time - start < CHUNK ? time - start : CHUNK, rows = round_up(count, TILE);
        prepare_keys(&chunk, shape, in->q + start * key_stride, in->k + start * key_stride, count);
        prepare_gates(&gates, &chunk, shape, in->log_decay ? in->log_decay + start * shape->value_heads : NULL,
                      in->beta ? in->beta + start * shape->value_heads : NULL, count);
        long next = start + CHUNK, next_count = time - next < CHUNK ? time - next : CHUNK;
        prefetch_rows(in->q + next * key_stride, key_stride, next_count, shape->key_dim);
        prefetch_rows(in->k + next * key_stride, key_stride, next_count, shape->key_dim);
        prefetch_rows(in->v + next * value_stride, value_stride, next_count, shape->value_dim);
        prefetch_rows(output + start * value_stride, value_stride, count, shape->value_dim);
        for (long panel = first_panel; panel < first_panel + panel_count; panel++) {
            float *state = states + panel * PANEL * keys;
            long column = panel * PANEL, width = shape->value_dim - column;
            float *errors = saved_errors ? saved_errors + start * values + panel * PANEL * CHUNK : local_errors;
            if (saved_states) {
                float *saved = saved_states + start / CHUNK * keys * values;
                for (long i = 0; i < keys; i += PANEL)
                    transpose_block(saved + i * values + panel * PANEL * PANEL, state + i * PANEL);
            }
            gather_panel(errors, in->v + start * value_stride + column, value_stride, count,
                         saved_errors ? CHUNK : rows, width);
            forward_panel(&gates, state, errors, writes, outputs, keys, rows);
            scatter_panel(output + start * value_stride + column, outputs, value_stride, count, width);
        }
    }
    for (long panel = first_panel; panel < first_panel + panel_count; panel++)
        scatter_panel(final_state + panel * PANEL, states + panel * PANEL * keys, shape->value_dim, shape->key_dim,
                      shape->value_dim - panel * PANEL);
}
