// The CPU kernels of all operations; each is described and defined in its operation's kernel.c.
// All work on float32, on the calling thread, on the rows they are given: the Swift side splits the work.
#ifndef GDN_OPS_H
#define GDN_OPS_H

#include "gdn_cpu.h"

// --- Embedding
/// dtable[tokens[t]] += dy[t] for channels start..<end, t in order; first clears those channels of rows_to_clear rows.
void gdn_embedding_backward(float *dtable, const float *dy, const int32_t *tokens, long count, long rows_to_clear,
                            long width, long start, long end);

// --- RMSNorm
/// y = x / rms(x) · (offset + weight) for `rows` rows of `width`; stores 1 / rms.
void gdn_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *weight, float offset, float eps,
                          long rows, long width);
/// sum = x + residual, and the norm of the sum as above.
void gdn_add_rms_norm_forward(float *sum, float *y, float *inverse_rms, const float *x, const float *residual,
                              const float *weight, float offset, float eps, long rows, long width);
/// dx (+ dsum where not NULL), and dweight += over the rows.
void gdn_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *dsum, const float *x,
                           const float *inverse_rms, const float *weight, float offset, long rows, long width);

// --- Activation
enum { GDN_ACTIVATION_NONE, GDN_ACTIVATION_SILU, GDN_ACTIVATION_RELU, GDN_ACTIVATION_ONE_PLUS_ELU };
/// y = activation(x); y may be x.
void gdn_activation_forward(float *y, const float *x, int activation, long count);
/// dx = dy · activation′(x); dx may be x or dy.
void gdn_activation_backward(float *dx, const float *dy, const float *x, int activation, long count);

// --- SwiGLU
/// y = silu(gate) · up
void gdn_swiglu_forward(float *y, const float *gate, const float *up, long count);
/// dgate = dy · up · silu′(gate), dup = dy · silu(gate)
void gdn_swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, long count);

// --- GatedRMSNorm
/// Rows of groups · width; statistics over `width`. `sigmoid`: gate by σ instead of silu. `gate_first`: gate, then norm.
void gdn_gated_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *gate, const float *weight,
                                int sigmoid, int gate_first, float eps, long rows, long groups, long width);
/// dx, dgate, and dweight += over the rows.
void gdn_gated_rms_norm_backward(float *dx, float *dgate, float *dweight, const float *dy, const float *x,
                                 const float *gate, const float *inverse_rms, const float *weight, int sigmoid,
                                 int gate_first, long rows, long groups, long width);

// --- L2Norm
enum { GDN_ROW_L2, GDN_ROW_L1, GDN_ROW_SOFTMAX };
/// y = x / √(Σx² + eps), x / (Σ|x| + eps) or softmax(x); stores the factor of the row (softmax: nothing).
void gdn_normalise_rows_forward(float *y, float *factor, const float *x, int kind, float eps, long rows, long width);
/// dx from dy; `x_or_y` is x, for softmax y.
void gdn_normalise_rows_backward(float *dx, const float *dy, const float *x_or_y, const float *factor, int kind,
                                 long rows, long width);

// --- ShortConvolution. Rows of C channels; history [W − 1, C] is what came before row 0 of a sequence, oldest first.
/// Weights are packed by so many channels: tiles of [W + 1, lanes], the taps and then the bias, zeros behind channel C.
enum { GDN_SHORT_CONVOLUTION_LANES = 16 };
/// packed from weight [C, W] and bias [C] (NULL: zeros).
void gdn_short_convolution_pack(float *packed, const float *weight, const float *bias, long channels, long width);
/// weight [C, W] and bias [C] (NULL: not wanted) from packed.
void gdn_short_convolution_unpack(float *weight, float *bias, const float *packed, long channels, long width);
/// Tokens from..<to of one sequence that starts at row 0 of x.
void gdn_short_convolution_forward(float *y, const float *x, const float *history, const float *packed,
                                   int activation, long channels, long width, long from, long to);
/// dx of tokens from..<to of a sequence of `length`; dhistory (NULL: not wanted) is written when from is 0;
/// sums, packed like the weights, += the tokens' gradients of weight and bias.
void gdn_short_convolution_backward(float *dx, float *dhistory, float *sums, const float *dy, const float *x,
                                    const float *history, const float *packed, int activation, long channels,
                                    long width, long length, long from, long to);
/// One token: y and the next state from x [C], state [C, W − 1], weight [C, W], bias [C] (NULL: zeros).
void gdn_short_convolution_step(float *y, float *next, const float *x, const float *state, const float *weight,
                                const float *bias, int activation, long channels, long width);
/// state [C, W − 1] after the last of `length` tokens.
void gdn_short_convolution_state(float *state, const float *x, const float *history, long channels, long width,
                                 long length);
/// Adds the gradient of that state to dx and dhistory (NULL: not wanted).
void gdn_short_convolution_state_backward(float *dx, float *dhistory, const float *dstate, long channels, long width,
                                          long length);
/// to[j, i] = from[i, j]
void gdn_short_convolution_transpose(float *to, const float *from, long rows, long columns);

// --- CrossEntropy
/// Negative log-likelihood of every row's target, 0 where it is `ignore`; gradient (NULL: not wanted; may be `logits`) =
/// (softmax − onehot) · scale, 0 where ignored.
void gdn_cross_entropy(float *loss, float *gradient, const float *logits, const int32_t *targets, int32_t ignore,
                       float scale, long rows, long width);

// --- AdamW
/// Factors of one step, the same for all elements.
typedef struct {
    float keep;           // 1 − lr · decay
    float rate;           // lr / (1 − β₁ᵗ)
    float beta1, rest1;   // rest = 1 − β, rounded once
    float beta2, rest2;
    float inverse_root;   // 1 / √(1 − β₂ᵗ)
    float eps;
    float gradient_scale;
} gdn_adamw_factors;
/// One step on `count` elements: m, v, then p.
void gdn_adamw_step(float *p, float *m, float *v, const float *g, const gdn_adamw_factors *factors, long count);

// --- GradientClipping
/// Σ x² in double.
double gdn_sum_of_squares(const float *x, long count);

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

/// Dimensions that all heads share, what queries are multiplied with, and whether what a key already holds is erased
/// before a write (0: gated linear attention, u = β v).
typedef struct {
    long key_heads, value_heads, key_dim, value_dim;
    float scale;
    int erases;
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
/// Floats of scratch memory that one call of gdn_delta_backward, _scan or _chunk needs.
long gdn_delta_backward_scratch(const gdn_delta_shape *shape);
/// One key head of one sequence with all its value heads; what they saved lies head after head.
void gdn_delta_backward(const gdn_delta_shape *shape, long time, const gdn_delta_inputs *in, const float *saved_errors,
                        const float *saved_states, const gdn_delta_gradients *d, float *scratch);
/// The same in two steps for few heads: the scan of value columns of one value head (`member` of the key head), and then
/// the rest of one chunk. In between, `scans` holds gdn_delta_scan_floats for every value head and chunk, like the rest.
long gdn_delta_scan_floats(const gdn_delta_shape *shape);
void gdn_delta_backward_scan(const gdn_delta_shape *shape, long time, long member, long first_panel, long panel_count,
                             const gdn_delta_inputs *in, const float *saved_errors, const gdn_delta_gradients *d,
                             float *scans, float *scratch);
void gdn_delta_backward_chunk(const gdn_delta_shape *shape, long time, long chunk, const gdn_delta_inputs *in,
                              const float *saved_errors, const float *saved_states, const gdn_delta_gradients *d,
                              float *scans, float *scratch);
/// One token of one head, state [K, V] in place. alpha = e^g; heads and gates follow from the caller's addresses.
void gdn_delta_step(const gdn_delta_shape *shape, float *state, float *output, const float *q, const float *k,
                    const float *v, float alpha, float beta);

#endif
