// The CPU kernels of all operations; each is described and defined in its operation's kernel.c.
// All work on float32, on the calling thread, on the rows they are given: the Swift side splits the work.
#ifndef GDN_OPS_H
#define GDN_OPS_H

#include "gdn_cpu.h"

// --- RMSNorm
/// y = x / rms(x) · (offset + weight) for `rows` rows of `width`; stores 1 / rms.
void gdn_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *weight, float offset, float eps,
                          long rows, long width);
/// dx, and dweight += over the rows.
void gdn_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *inverse_rms,
                           const float *weight, float offset, long rows, long width);

// --- Gates
/// log_decay = −e^{a_log} softplus(a + dt_bias) and beta = strength · σ(b) for `rows` rows of `heads`.
void gdn_gates_forward(float *log_decay, float *beta, const float *a, const float *b, const float *a_log,
                       const float *dt_bias, float strength, long rows, long heads);
/// da, db; da_log and ddt_bias [heads] += over the rows. d_log_decay and d_beta: NULL means zero.
void gdn_gates_backward(float *da, float *db, float *da_log, float *ddt_bias, const float *d_log_decay,
                        const float *d_beta, const float *a, const float *b, const float *a_log, const float *dt_bias,
                        float strength, long rows, long heads);

// --- GatedDeltaRule
/// Tokens in a chunk.
#define GDN_DELTA_CHUNK 64

/// Dimensions that all heads share, and what queries are multiplied with.
typedef struct {
    long key_heads, value_heads, key_dim, value_dim;
    float scale;
} gdn_delta_shape;

/// Addresses of the first token of one sequence and one head inside [B, T, heads, width] arrays.
typedef struct {
    const float *q, *k, *v;
    const float *log_decay;      // NULL: no decay
    const float *beta;           // NULL: write strength 1
    const float *initial_state;  // [K, V]; NULL: zeros
} gdn_delta_inputs;

/// Gradients that come in (`output`, `final_state`; NULL: zero) and that go out (the last three: NULL where not wanted).
typedef struct {
    const float *output, *final_state;
    float *q, *k, *v, *log_decay, *beta, *initial_state;
} gdn_delta_gradients;

/// Floats of scratch memory (64-byte aligned) that one call of gdn_delta_forward needs.
long gdn_delta_forward_scratch(const gdn_delta_shape *shape);
/// One value head of one sequence of `time` tokens, value columns of `panel_count` panels of 32 from `first_panel` on.
/// Saves for the backward, where not NULL: the errors, chunks × 64 × V, and transposed states at chunk starts,
/// chunks × V × K, with K and V rounded up to multiples of 32.
void gdn_delta_forward(const gdn_delta_shape *shape, long time, long first_panel, long panel_count,
                       const gdn_delta_inputs *in, float *output, float *final_state, float *saved_errors,
                       float *saved_states, float *scratch);
/// Floats of scratch memory that one call of gdn_delta_backward needs.
long gdn_delta_backward_scratch(const gdn_delta_shape *shape);
/// One key head of one sequence with all its value heads; what they saved lies head after head.
void gdn_delta_backward(const gdn_delta_shape *shape, long time, const gdn_delta_inputs *in, const float *saved_errors,
                        const float *saved_states, const gdn_delta_gradients *d, float *scratch);
/// One token of one head, state [K, V] in place. alpha = e^g.
void gdn_delta_step(float *state, float *output, const float *q, const float *k, const float *v, float alpha,
                    float beta, float scale, long key_dim, long value_dim);

#endif
