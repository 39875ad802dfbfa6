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
// Where nothing is erased, E is v and every term with dV but dv itself is gone: N, γ ⊙ (dV S0ᵀ) and Kᵀ(γ ⊙ dV) are zero.
//
// Two ways through the same steps, with the same bits: one task a key head (the scan's results stay in the cache), or,
// where key heads are few, first one task a value head and range of panels for the scan, then one a chunk.
#include "gradients.h"

/// Dimensions in padded columns, and strides, of one call.
typedef struct {
    long keys, values;                // K and V rounded up
    long key_stride, value_stride;    // from token to token
    long group, chunks;
} backward_plan;

GDN_INLINE backward_plan make_plan(const gdn_delta_shape *shape, long time) {
    backward_plan p;
    p.keys = round_up(shape->key_dim, PANEL);
    p.values = round_up(shape->value_dim, PANEL);
    p.key_stride = shape->key_heads * shape->key_dim;
    p.value_stride = shape->value_heads * shape->value_dim;
    p.group = shape->value_heads / shape->key_heads;
    p.chunks = (time + CHUNK - 1) / CHUNK;
    return p;
}

/// Where one task works; `rest` is behind all of it.
typedef struct {
    chunk_keys keys;
    chunk_gates gates;
    head_values values;
    gradient_space space;
    float *dq, *dk;  // [C, K]
    float *rest;
} workspace;

GDN_INLINE void take_workspace(workspace *w, const backward_plan *p, float *scratch) {
    w->keys = take_keys(&scratch, p->keys);
    take_gates(&w->gates, &scratch, p->keys);
    w->values = take_values(&scratch, p->values);
    w->space = take_gradients(&scratch, p->keys, p->values);
    w->dq = take(&scratch, CHUNK * p->keys);
    w->dk = take(&scratch, CHUNK * p->keys);
    w->rest = scratch;
}

GDN_INLINE long tokens_in(long chunk, long time) { return time - chunk * CHUNK < CHUNK ? time - chunk * CHUNK : CHUNK; }

GDN_INLINE void read_keys(chunk_keys *keys, const backward_plan *p, const gdn_delta_shape *shape,
                          const gdn_delta_inputs *in, long chunk, long count) {
    long at = chunk * CHUNK * p->key_stride;
    prepare_keys(keys, shape, in->q + at, in->k + at, count);
}

GDN_INLINE void read_gates(chunk_gates *gates, const chunk_keys *keys, const gdn_delta_shape *shape,
                           const gdn_delta_inputs *in, long chunk, long member, long count) {
    long at = chunk * CHUNK * shape->value_heads + member;
    prepare_gates(gates, keys, shape, in->log_decay ? in->log_decay + at : NULL, in->beta ? in->beta + at : NULL,
                  count);
}

// Value columns of `panel_count` panels of one value head: back through one chunk.
GDN_INLINE void scan_chunk(const backward_plan *p, const gdn_delta_shape *shape, const workspace *w,
                           const scan_result *result, float *d_states, const float *errors,
                           const gdn_delta_gradients *d, long chunk, long member, long first, long panel_count,
                           long count) {
    long at = chunk * CHUNK * p->value_stride + member * shape->value_dim, rows = round_up(count, TILE);
    for (long panel = first; panel < first + panel_count; panel++) {
        long column = panel * PANEL;
        load_values(&w->values, d->output ? d->output + at : NULL, errors, w->gates.beta, panel, p->value_stride, count,
                    shape->value_dim);
        scan_panel(&w->gates, &w->values, result, d_states + column * p->keys, errors, panel, p->keys, p->values, rows);
        scatter_panel(d->v + at + column, result->d_value + column * CHUNK, p->value_stride, count,
                      shape->value_dim - column);
    }
}

// dQ, dK (added to those of earlier members), dg and dβ of one chunk of one value head.
GDN_INLINE void gradients_of_chunk(const backward_plan *p, const gdn_delta_shape *shape, const workspace *w,
                                   const scan_result *scan, const float *state, const gdn_delta_gradients *d,
                                   long chunk, long member, long count) {
    const gradient_space *space = &w->space;
    long at = chunk * CHUNK * shape->value_heads + member, rows = round_up(count, TILE);
    float db[CHUNK];
    scale_rows(space->scaled_writes, w->values.writes, w->gates.rho, 1, rows, p->values);
    transpose_panels(space->writes_transposed, w->values.writes, CHUNK, p->values);
    lower_product(space->d_read, w->values.d_output, space->writes_transposed, rows, p->values);
    if (shape->erases)
        lower_product(space->d_erase, scan->d_value, space->writes_transposed, rows, p->values);
    else
        memset(space->d_erase, 0, sizeof(float) * CHUNK * CHUNK);
    score_gradients(&w->gates, space, shape->scale, rows, db);
    for (long panel = 0; panel < p->keys / PANEL; panel++)
        key_gradients(&w->keys, &w->gates, &w->values, scan, space, state, w->dq, w->dk, panel, p->values, shape, rows,
                      member == 0);
    gate_gradients(&w->gates, scan, space, state, p->keys, p->values, db, count, shape->value_heads,
                   d->log_decay ? d->log_decay + at : NULL, d->beta ? d->beta + at : NULL);
}

// The gradient of the last state into panels, or that of the first out of them.
GDN_INLINE void read_final(float *d_states, const backward_plan *p, const gdn_delta_shape *shape,
                           const gdn_delta_gradients *d, long member, long first, long panel_count) {
    for (long column = first * PANEL; column < (first + panel_count) * PANEL; column += PANEL) {
        float *panel = d_states + column * p->keys;
        if (d->final_state)
            gather_panel(panel, d->final_state + member * shape->key_dim * shape->value_dim + column, shape->value_dim,
                         shape->key_dim, p->keys, shape->value_dim - column);
        else
            memset(panel, 0, sizeof(float) * PANEL * p->keys);
    }
}

GDN_INLINE void write_initial(const float *d_states, const backward_plan *p, const gdn_delta_shape *shape,
                              const gdn_delta_gradients *d, long member, long first, long panel_count) {
    if (!d->initial_state) return;
    for (long column = first * PANEL; column < (first + panel_count) * PANEL; column += PANEL)
        scatter_panel(d->initial_state + member * shape->key_dim * shape->value_dim + column,
                      d_states + column * p->keys, shape->value_dim, shape->key_dim, shape->value_dim - column);
}

long gdn_delta_backward_scratch(const gdn_delta_shape *shape) {
    backward_plan p = make_plan(shape, 0);
    return chunk_floats(p.keys) + 2 * CHUNK * p.values + gradient_floats(p.keys, p.values)
           + scan_result_floats(p.keys, p.values) + p.group * p.keys * p.values + 2 * CHUNK * p.keys;
}

long gdn_delta_scan_floats(const gdn_delta_shape *shape) {
    backward_plan p = make_plan(shape, 0);
    return scan_result_floats(p.keys, p.values);
}

GDN_CLONES
void gdn_delta_backward(const gdn_delta_shape *shape, long time, const gdn_delta_inputs *in, const float *saved_errors,
                        const float *saved_states, const gdn_delta_gradients *d, float *scratch) {
    backward_plan p = make_plan(shape, time);
    workspace w;
    take_workspace(&w, &p, scratch);
    float *d_states = w.rest;
    scan_result scan = take_scan_result(&d_states, p.keys, p.values);
    long state_size = p.keys * p.values, panels = p.values / PANEL;

    for (long member = 0; member < p.group; member++)
        read_final(d_states + member * state_size, &p, shape, d, member, 0, panels);
    for (long n = p.chunks - 1; n >= 0; n--) {
        long count = tokens_in(n, time), key_at = n * CHUNK * p.key_stride, value_at = n * CHUNK * p.value_stride;
        read_keys(&w.keys, &p, shape, in, n, count);
        prefetch_rows(d->q + key_at, p.key_stride, count, shape->key_dim);
        prefetch_rows(d->k + key_at, p.key_stride, count, shape->key_dim);
        if (n > 0) {
            prefetch_rows(in->q + key_at - CHUNK * p.key_stride, p.key_stride, CHUNK, shape->key_dim);
            prefetch_rows(in->k + key_at - CHUNK * p.key_stride, p.key_stride, CHUNK, shape->key_dim);
        }
        for (long member = 0; member < p.group; member++) {
            const float *errors = saved_errors + (member * p.chunks + n) * CHUNK * p.values;
            const float *state = saved_states + (member * p.chunks + n) * state_size;
            long value = value_at + member * shape->value_dim;
            read_gates(&w.gates, &w.keys, shape, in, n, member, count);
            prefetch_rows(d->v + value, p.value_stride, count, shape->value_dim);
            if (d->output && n > 0)
                prefetch_rows(d->output + value - CHUNK * p.value_stride, p.value_stride, CHUNK, shape->value_dim);
            scan_chunk(&p, shape, &w, &scan, d_states + member * state_size, errors, d, n, member, 0, panels, count);
            gradients_of_chunk(&p, shape, &w, &scan, state, d, n, member, count);
        }
        scatter(d->q + key_at, w.dq, p.key_stride, count, CHUNK, shape->key_dim);
        scatter(d->k + key_at, w.dk, p.key_stride, count, CHUNK, shape->key_dim);
    }
    for (long member = 0; member < p.group; member++)
        write_initial(d_states + member * state_size, &p, shape, d, member, 0, panels);
}

GDN_CLONES
void gdn_delta_backward_scan(const gdn_delta_shape *shape, long time, long member, long first_panel, long panel_count,
                             const gdn_delta_inputs *in, const float *saved_errors, const gdn_delta_gradients *d,
                             float *scans, float *scratch) {
    backward_plan p = make_plan(shape, time);
    workspace w;
    take_workspace(&w, &p, scratch);
    float *d_states = w.rest;
    read_final(d_states, &p, shape, d, member, first_panel, panel_count);
    for (long n = p.chunks - 1; n >= 0; n--) {
        long count = tokens_in(n, time);
        float *place = scans + (member * p.chunks + n) * scan_result_floats(p.keys, p.values);
        scan_result scan = take_scan_result(&place, p.keys, p.values);
        read_keys(&w.keys, &p, shape, in, n, count);
        read_gates(&w.gates, &w.keys, shape, in, n, member, count);
        const float *errors = saved_errors + (member * p.chunks + n) * CHUNK * p.values;
        scan_chunk(&p, shape, &w, &scan, d_states, errors, d, n, member, first_panel, panel_count, count);
    }
    write_initial(d_states, &p, shape, d, member, first_panel, panel_count);
}

GDN_CLONES
void gdn_delta_backward_chunk(const gdn_delta_shape *shape, long time, long chunk, const gdn_delta_inputs *in,
                              const float *saved_errors, const float *saved_states, const gdn_delta_gradients *d,
                              float *scans, float *scratch) {
    backward_plan p = make_plan(shape, time);
    workspace w;
    take_workspace(&w, &p, scratch);
    long count = tokens_in(chunk, time), key_at = chunk * CHUNK * p.key_stride;
    read_keys(&w.keys, &p, shape, in, chunk, count);
    for (long member = 0; member < p.group; member++) {
        long record = member * p.chunks + chunk;
        long at = chunk * CHUNK * p.value_stride + member * shape->value_dim;
        const float *errors = saved_errors + record * CHUNK * p.values;
        float *place = scans + record * scan_result_floats(p.keys, p.values);
        scan_result scan = take_scan_result(&place, p.keys, p.values);
        read_gates(&w.gates, &w.keys, shape, in, chunk, member, count);
        for (long panel = 0; panel < p.values / PANEL; panel++)
            load_values(&w.values, d->output ? d->output + at : NULL, errors, w.gates.beta, panel, p.value_stride, count,
                        shape->value_dim);
        gradients_of_chunk(&p, shape, &w, &scan, saved_states + record * p.keys * p.values, d, chunk, member, count);
    }
    scatter(d->q + key_at, w.dq, p.key_stride, count, CHUNK, shape->key_dim);
    scatter(d->k + key_at, w.dk, p.key_stride, count, CHUNK, shape->key_dim);
}
