// The gated delta rule backward, chunk by chunk from the last, all value heads of one key head of one sequence.
//
// The forward solved (I + L) U' = …; the adjoint of a solve is a solve with the transpose, and the gradient of the
// matrix an outer product of the two solutions. So with E, U = β ⊙ E and the state S0 at each chunk's start saved,
// and dS the gradient of the state at the chunk's end, no v, no inverse and no derivative of one is needed:
//     Y_j  = Σ_{i≥j} s Γ_ij (q_i·k_j) dO_i + ρ_j dSᵀk_j − Σ_{i>j} Γ_ij (k_i·k_j) dV_i,   dV = β ⊙ Y,   dβ_i = Y_i·E_i
//     dS0  = γ_C dS + Qᵀ(s γ ⊙ dO) − Kᵀ(γ ⊙ dV)
//     dP   = s Γ ⊙ (dO Uᵀ) for i ≥ j,     N = −Γ ⊙ (dV Uᵀ) for i > j       (gradients of q_i·k_j and k_i·k_j)
//     dQ   = s γ ⊙ (dO S0ᵀ) + dP K
//     dK   = −γ ⊙ (dV S0ᵀ) + ρ ⊙ (U dSᵀ) + dPᵀ Q + (N + Nᵀ) K
// and for the logarithm b_i of γ_i, with H = (dO Uᵀ) ⊙ s Γ ⊙ QKᵀ − (dV Uᵀ) ⊙ Γ ⊙ KKᵀ strictly below the diagonal:
//     db_i = Σ_j H_ij − Σ_j H_ji + q_i·[s γ dO S0ᵀ]_i − k_i·[γ dV S0ᵀ]_i − k_i·[ρ U dSᵀ]_i
//     db_C += Σ_i k_i·[ρ U dSᵀ]_i + γ_C ⟨dS, S0⟩,        dg_t = Σ_{i≥t} db_i
// The diagonal of dP has no part in dg: under strong decay it would drown what is left.
#include "chunk.h"

/// What the backward of one value head keeps for one chunk.
typedef struct {
    float *d_output, *d_value;         // [C, V]
    float *writes, *scaled_writes;     // [C, V] U and ρ ⊙ U
    float *writes_transposed;          // [V, C]
    float *d_state_transposed;         // [V, K]
    float *d_read, *d_erase;           // [C, C] dO Uᵀ then dP; dV Uᵀ then N
    float *d_beta_lanes, *rho_lanes;   // [C, 16] lanes of Y_i·E_i and of k_i·[ρ U dSᵀ]_i
    float *q_lanes, *k_lanes;          // [C, 16] lanes of q_i·[s γ dO S0ᵀ]_i and of −k_i·[γ dV S0ᵀ]_i
} head_gradients;

GDN_INLINE long head_floats(long keys, long values) {
    return 5 * CHUNK * values + keys * values + 2 * CHUNK * CHUNK + 4 * CHUNK * LANES;
}

GDN_INLINE head_gradients take_head(float **scratch, long keys, long values) {
    head_gradients h;
    h.d_output = take(scratch, CHUNK * values);
    h.d_value = take(scratch, CHUNK * values);
    h.writes = take(scratch, CHUNK * values);
    h.scaled_writes = take(scratch, CHUNK * values);
    h.writes_transposed = take(scratch, CHUNK * values);
    h.d_state_transposed = take(scratch, keys * values);
    h.d_read = take(scratch, CHUNK * CHUNK);
    h.d_erase = take(scratch, CHUNK * CHUNK);
    h.d_beta_lanes = take(scratch, CHUNK * LANES);
    h.rho_lanes = take(scratch, CHUNK * LANES);
    h.q_lanes = take(scratch, CHUNK * LANES);
    h.k_lanes = take(scratch, CHUNK * LANES);
    return h;
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

// One panel of values back through one chunk: dV, the row dots, and dS to dS0.
GDN_INLINE void scan_panel(const chunk_gates *g, const head_gradients *h, float *d_state, const float *errors,
                           long panel, long keys, long rows) {
    long offset = panel * PANEL * CHUNK;
    const float *d_output = h->d_output + offset, *writes = h->writes + offset;
    float *d_value = h->d_value + offset;
    for (long j = rows - TILE; j >= 0; j -= TILE) {
        const float *column = g->erase + j / PANEL * PANEL * CHUNK + j % PANEL;
        long below = j + TILE;
        tile t;
        tile_zero(&t);
        tile_add_panels(&t, g->k_rho, CHUNK, j, d_state, keys);
        tile_row_dots(&t, writes + j * PANEL, h->rho_lanes + j * LANES);
        tile_add_transposed(&t, g->read + j / PANEL * PANEL * CHUNK + j % PANEL + j * PANEL, d_output + j * PANEL,
                            rows - j);
        tile_add_transposed(&t, column + below * PANEL, d_value + below * PANEL, rows - below);
        substitute_backward(&t, column + j * PANEL, g->beta + j, d_value + j * PANEL);
        tile_row_dots(&t, errors + offset + j * PANEL, h->d_beta_lanes + j * LANES);
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

// dO Uᵀ and dV Uᵀ become dP and N; db receives the row sums of H minus its column sums.
GDN_INLINE void score_gradients(const chunk_gates *g, const head_gradients *h, float scale, long rows, float *db) {
    float column_sums[CHUNK] = {0};
    memset(db, 0, sizeof(float) * CHUNK);
    for (long j = 0; j < rows; j += PANEL) {
        lanes below_left = {0}, below_right = {0};
        for (long i = j; i < rows; i++) {
            long at = j * CHUNK + i * PANEL;
            float *d_read = h->d_read + at, *d_erase = h->d_erase + at;
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
                if (half) below_right += product; else below_left += product;
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

// One panel of dQ and dK, added to what earlier value heads left there.
GDN_INLINE void key_gradients(const chunk_keys *c, const chunk_gates *g, const head_gradients *h, const float *state,
                              float *dq, float *dk, long panel, long values, float scale, long rows, int first) {
    long offset = panel * PANEL * CHUNK;
    const float *k = c->k + offset, *q = c->q + offset;
    const float *s = state + panel * PANEL * values, *ds = h->d_state_transposed + panel * PANEL * values;
    for (long i = 0; i < rows; i += TILE) {
        long column = i / PANEL * PANEL * CHUNK + i % PANEL + i * PANEL;
        tile t;
        tile_zero(&t);
        tile_add_panels(&t, h->d_output, CHUNK, i, s, values);
        tile_scale_rows(&t, g->gamma + i, scale);
        tile_row_dots(&t, q + i * PANEL, h->q_lanes + i * LANES);
        tile_add_panels(&t, h->d_read, CHUNK, i, k, i + TILE);
        if (!first) tile_add_tile(&t, dq + offset + i * PANEL);
        tile_store(&t, dq + offset + i * PANEL);

        tile_zero(&t);
        tile_add_panels(&t, h->d_value, CHUNK, i, s, values);
        tile_scale_rows(&t, g->gamma + i, -1);
        tile_row_dots(&t, k + i * PANEL, h->k_lanes + i * LANES);
        tile_add_panels(&t, h->scaled_writes, CHUNK, i, ds, values);
        tile_add_transposed(&t, h->d_read + column, q + i * PANEL, rows - i);
        tile_add_transposed(&t, h->d_erase + column, k + i * PANEL, rows - i);
        tile_add_panels(&t, h->d_erase, CHUNK, i, k, i + TILE);
        if (!first) tile_add_tile(&t, dk + offset + i * PANEL);
        tile_store(&t, dk + offset + i * PANEL);
    }
}

// dg and dβ of one chunk of one head from the row dots.
GDN_INLINE void gate_gradients(const chunk_gates *g, const head_gradients *h, const float *state, long keys,
                               long values, float *db, long count, long heads, float *d_log_decay, float *d_beta) {
    lanes sums[4] = {{0}, {0}, {0}, {0}};
    for (long i = 0; i < keys * values; i += 4 * LANES)
        for (int part = 0; part < 4; part++)
            sums[part] += AT(state + i + part * LANES) * AT(h->d_state_transposed + i + part * LANES);
    float inner[LANES];
    AT(inner) = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    float end = g->total * lane_sum(inner);
    for (long i = 0; i < count; i++) {
        float rho = lane_sum(h->rho_lanes + i * LANES);
        db[i] += lane_sum(h->q_lanes + i * LANES) + lane_sum(h->k_lanes + i * LANES) - rho;
        end += rho;
        if (d_beta) d_beta[i * heads] = lane_sum(h->d_beta_lanes + i * LANES);
    }
    if (!d_log_decay) return;
    for (long i = count - 1; i >= 0; i--) d_log_decay[i * heads] = end += db[i];
}

long gdn_delta_backward_scratch(const gdn_delta_shape *shape) {
    long keys = round_up(shape->key_dim, PANEL), values = round_up(shape->value_dim, PANEL);
    long group = shape->value_heads / shape->key_heads;
    return chunk_floats(keys) + head_floats(keys, values) + group * keys * values + 2 * CHUNK * keys;
}

GDN_CLONES
void gdn_delta_backward(const gdn_delta_shape *shape, long time, const gdn_delta_inputs *in, const float *saved_errors,
                        const float *saved_states, const gdn_delta_gradients *d, float *scratch) {
    long keys = round_up(shape->key_dim, PANEL), values = round_up(shape->value_dim, PANEL);
    long heads = shape->value_heads, group = heads / shape->key_heads, chunks = (time + CHUNK - 1) / CHUNK;
    long key_stride = shape->key_heads * shape->key_dim, value_stride = heads * shape->value_dim;
    long state_size = shape->key_dim * shape->value_dim;
    chunk_keys chunk = take_keys(&scratch, keys);
    chunk_gates gates;
    take_gates(&gates, &scratch, keys);
    head_gradients head = take_head(&scratch, keys, values);
    float *dq = take(&scratch, CHUNK * keys), *dk = take(&scratch, CHUNK * keys);
    float *d_states = scratch;
    float db[CHUNK];

    for (long member = 0; member < group; member++) {
        float *d_state = d_states + member * keys * values;
        if (d->final_state)
            gather(d_state, d->final_state + member * state_size, shape->value_dim, shape->key_dim, keys,
                   shape->value_dim);
        else
            memset(d_state, 0, sizeof(float) * keys * values);
    }
    for (long n = chunks - 1; n >= 0; n--) {
        long start = n * CHUNK, count = time - start < CHUNK ? time - start : CHUNK, rows = round_up(count, TILE);
        prepare_keys(&chunk, shape, in->q + start * key_stride, in->k + start * key_stride, count);
        for (long member = 0; member < group; member++) {
            const float *errors = saved_errors + (member * chunks + n) * CHUNK * values;
            const float *state = saved_states + (member * chunks + n) * keys * values;
            float *d_state = d_states + member * keys * values;
            long gate = start * heads + member, value = start * value_stride + member * shape->value_dim;
            prepare_gates(&gates, &chunk, shape, in->log_decay ? in->log_decay + gate : NULL,
                          in->beta ? in->beta + gate : NULL, count);
            if (d->output)
                gather(head.d_output, d->output + value, value_stride, count, CHUNK, shape->value_dim);
            else
                memset(head.d_output, 0, sizeof(float) * CHUNK * values);
            scale_rows(head.writes, errors, gates.beta, 1, CHUNK, values);
            scale_rows(head.scaled_writes, head.writes, gates.rho, 1, rows, values);
            transpose_panels(head.writes_transposed, head.writes, CHUNK, values);
            transpose_panels(head.d_state_transposed, d_state, keys, values);
            memset(head.d_beta_lanes, 0, sizeof(float) * 4 * CHUNK * LANES);

            for (long panel = 0; panel < values / PANEL; panel++)
                scan_panel(&gates, &head, d_state + panel * PANEL * keys, errors, panel, keys, rows);
            scatter(d->v + value, head.d_value, value_stride, count, CHUNK, shape->value_dim);
            lower_product(head.d_read, head.d_output, head.writes_transposed, rows, values);
            lower_product(head.d_erase, head.d_value, head.writes_transposed, rows, values);
            score_gradients(&gates, &head, shape->scale, rows, db);
            for (long panel = 0; panel < keys / PANEL; panel++)
                key_gradients(&chunk, &gates, &head, state, dq, dk, panel, values, shape->scale, rows, member == 0);
            gate_gradients(&gates, &head, state, keys, values, db, count, heads,
                           d->log_decay ? d->log_decay + gate : NULL, d->beta ? d->beta + gate : NULL);
        }
        scatter(d->q + start * key_stride, dq, key_stride, count, CHUNK, shape->key_dim);
        scatter(d->k + start * key_stride, dk, key_stride, count, CHUNK, shape->key_dim);
    }
    if (!d->initial_state) return;
    for (long member = 0; member < group; member++)
        scatter(d->initial_state + member * state_size, d_states + member * keys * values, shape->value_dim,
                shape->key_dim, keys, shape->value_dim);
}
