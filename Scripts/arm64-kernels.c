// Runs every CPU kernel on made-up input and writes its results to standard output: a line with a name and a count, then the
// floats. Scripts/check-arm64 runs it on two processors and compares.
#include "gdn_cpu.h"
#include "gdn_ops.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t seed = 1;

static float *zeros(long count) {
    size_t bytes = ((size_t)count * sizeof(float) + 63) / 64 * 64;
    float *x = aligned_alloc(64, bytes);
    memset(x, 0, bytes);
    return x;
}

static float *make(long count, float low, float high) {
    float *x = zeros(count);
    for (long i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = low + (high - low) * (float)(seed >> 8) / 16777216.0f;
    }
    return x;
}

static void emit(const char *name, const float *x, long count) {
    printf("%s %ld\n", name, count);
    fwrite(x, sizeof(float), (size_t)count, stdout);
}

static void products(void) {
    const long m = 61, n = 45, k = 300;
    float *a = make(m * k, -1, 1), *b = make(n * k, -1, 1), *c = make(m * n, -1, 1), *panels = zeros(gdn_gemm_packed_floats(n, k));
    for (int form = 0; form < 4; form++) {
        gdn_gemm_f32(form & 1, form >> 1, m, n, k, 0.5f, a, form & 1 ? m : k, b, form >> 1 ? k : n, 0.25f, c, n);
        emit("gemm_f32", c, m * n);
    }
    gdn_gemm_pack_f32(panels, 1, n, k, b, k, 0, gdn_gemm_panels(n));
    gdn_gemm_packed_f32(m, n, k, a, k, panels, 0, c, n);
    emit("gemm_packed_f32", c, m * n);
    gdn_rows_f32(3, n, k, a, k, b, k, 0, c, n);
    emit("rows_f32", c, 3 * n);
    uint16_t *halves = malloc((size_t)(n * k) * sizeof *halves);
    gdn_f32_to_bf16(halves, b, n * k);
    gdn_rows_bf16(3, n, k, a, k, halves, k, 0, c, n);
    emit("rows_bf16", c, 3 * n);
    gdn_add_bf16(halves, halves, n);
    gdn_bf16_to_f32(c, halves, n);
    gdn_scale_f32(c, 3, n);
    gdn_add_f32(c, a, n);
    emit("elementwise", c, n);
}

static void rows(void) {
    const long r = 37, w = 75;
    float *x = make(r * w, -2, 2), *z = make(r * w, -9, 9), *dy = make(r * w, -1, 1), *weight = make(w, 0.5f, 1.5f);
    float *y = zeros(r * w), *other = zeros(r * w), *inverse = zeros(r), *dweight = zeros(w);
    gdn_add_rms_norm_forward(other, y, inverse, x, z, weight, 0, 1e-6f, r, w);
    emit("add_rms_norm_forward", y, r * w);
    gdn_rms_norm_forward(y, inverse, x, weight, 1, 1e-6f, r, w);
    emit("rms_norm_forward", y, r * w);
    gdn_rms_norm_backward(y, dweight, dy, z, x, inverse, weight, 1, r, w);
    emit("rms_norm_backward", y, r * w);
    emit("rms_norm_backward_weight", dweight, w);
    for (int form = 0; form < 4; form++) {
        memset(dweight, 0, (size_t)w * sizeof(float));
        gdn_gated_rms_norm_forward(y, inverse, x, z, weight, form & 1, form >> 1, 1e-6f, r, 1, w);
        emit("gated_rms_norm_forward", y, r * w);
        gdn_gated_rms_norm_backward(y, other, dweight, dy, x, z, inverse, weight, form & 1, form >> 1, r, 1, w);
        emit("gated_rms_norm_backward", y, r * w);
        emit("gated_rms_norm_backward_gate", other, r * w);
        emit("gated_rms_norm_backward_weight", dweight, w);
    }
    for (int kind = GDN_ROW_L2; kind <= GDN_ROW_SOFTMAX; kind++) {
        gdn_normalise_rows_forward(y, inverse, x, kind, 1e-6f, r, w);
        emit("normalise_rows_forward", y, r * w);
        gdn_normalise_rows_backward(other, dy, kind == GDN_ROW_SOFTMAX ? y : x, inverse, kind, r, w);
        emit("normalise_rows_backward", other, r * w);
    }
    for (int activation = 0; activation <= GDN_ACTIVATION_ONE_PLUS_ELU; activation++) {
        gdn_activation_forward(y, z, activation, r * w);
        emit("activation_forward", y, r * w);
        gdn_activation_backward(y, dy, z, activation, r * w);
        emit("activation_backward", y, r * w);
    }
    gdn_swiglu_forward(y, z, x, r * w);
    emit("swiglu_forward", y, r * w);
    gdn_swiglu_backward(y, other, dy, z, x, r * w);
    emit("swiglu_backward", y, r * w);
    emit("swiglu_backward_up", other, r * w);
    int32_t *targets = malloc((size_t)r * sizeof *targets);
    for (long i = 0; i < r; i++) targets[i] = i % 7 == 6 ? -100 : (int32_t)(i % w);
    gdn_cross_entropy(inverse, y, z, targets, -100, 0.1f, r, w);
    emit("cross_entropy", inverse, r);
    emit("cross_entropy_gradient", y, r * w);
    gdn_embedding_backward(other, dy, (int32_t[]){3, 0, 3, 5}, 4, r, w, 0, w);
    emit("embedding_backward", other, r * w);
    float *a_log = make(5, -1, 1), *bias = make(5, -1, 1), *sums = zeros(10);
    gdn_gates_forward(y, other, x, z, a_log, bias, 2, r, 5);
    emit("gates_forward", y, r * 5);
    emit("gates_forward_beta", other, r * 5);
    gdn_gates_backward(y, other, sums, sums + 5, dy, dy + r * 5, x, z, a_log, bias, 2, r, 5);
    emit("gates_backward", y, r * 5);
    emit("gates_backward_beta", other, r * 5);
    emit("gates_backward_sums", sums, 10);
    gdn_adamw_factors factors = {0.99f, 1e-3f, 0.9f, 0.1f, 0.95f, 0.05f, 2, 1e-8f, 0.5f};
    float *v = make(r * w, 0, 1);
    gdn_adamw_step(x, y, v, dy, &factors, r * w);
    emit("adamw_step", x, r * w);
    float squares = (float)gdn_sum_of_squares(z, r * w);
    emit("sum_of_squares", &squares, 1);
}

static void convolution(void) {
    const long t = 29, c = 37, width = 4;
    float *x = make(t * c, -1, 1), *weight = make(c * width, -1, 1), *bias = make(c, -1, 1), *history = make(c * 3, -1, 1);
    float *packed = zeros((c + 15) / 16 * 16 * (width + 1)), *sums = zeros((c + 15) / 16 * 16 * (width + 1)), *y = zeros(t * c);
    float *dy = make(t * c, -1, 1), *dx = zeros(t * c), *dhistory = zeros(3 * c), *state = zeros(3 * c);
    gdn_short_convolution_pack(packed, weight, bias, c, width);
    gdn_short_convolution_forward(y, x, history, packed, GDN_ACTIVATION_SILU, c, width, 0, t);
    emit("short_convolution_forward", y, t * c);
    gdn_short_convolution_backward(dx, dhistory, sums, dy, x, history, packed, GDN_ACTIVATION_SILU, c, width, t, 0, t);
    emit("short_convolution_backward", dx, t * c);
    emit("short_convolution_backward_history", dhistory, 3 * c);
    gdn_short_convolution_unpack(weight, bias, sums, c, width);
    emit("short_convolution_backward_weight", weight, c * width);
    gdn_short_convolution_state(state, x, history, c, width, t);
    gdn_short_convolution_step(y, dhistory, x, state, weight, bias, GDN_ACTIVATION_SILU, c, width);
    emit("short_convolution_step", y, c);
    emit("short_convolution_step_state", dhistory, 3 * c);
}

static void delta_rule(int erases) {
    const long t = 150, k = 48, v = 70, keys = 64, values = 96, chunks = 3;
    gdn_delta_shape shape = {1, 1, k, v, 0.2f, erases};
    float *q = make(t * k, -0.2f, 0.2f), *key = make(t * k, -0.2f, 0.2f), *value = make(t * v, -1, 1);
    float *decay = make(t, -0.05f, 0), *beta = make(t, 0, 2), *initial = make(k * v, -1, 1), *output = zeros(t * v);
    float *state = zeros(k * v), *errors = zeros(chunks * 64 * values), *states = zeros(chunks * keys * values);
    gdn_delta_inputs in = {q, key, value, decay, beta, initial};
    gdn_delta_forward(&shape, t, 0, values / 32, &in, output, state, errors, states, zeros(gdn_delta_forward_scratch(&shape)));
    emit("delta_forward", output, t * v);
    emit("delta_forward_state", state, k * v);
    float *d_output = make(t * v, -1, 1), *dq = zeros(t * k), *dk = zeros(t * k), *dv = zeros(t * v);
    float *ddecay = zeros(t), *dbeta = zeros(t), *dinitial = zeros(k * v);
    gdn_delta_gradients d = {d_output, state, dq, dk, dv, ddecay, dbeta, dinitial};
    gdn_delta_backward(&shape, t, &in, errors, states, &d, zeros(gdn_delta_backward_scratch(&shape)));
    emit("delta_backward_q", dq, t * k);
    emit("delta_backward_k", dk, t * k);
    emit("delta_backward_v", dv, t * v);
    emit("delta_backward_decay", ddecay, t);
    emit("delta_backward_beta", dbeta, t);
    emit("delta_backward_state", dinitial, k * v);
    gdn_delta_step(&shape, state, output, q, key, value, 0.9f, 0.8f);
    emit("delta_step", output, v);
    emit("delta_step_state", state, k * v);
}

static void add_one(void *context, long task, int thread) {
    (void)thread;
    ((float *)context)[task] += 1;
}

int main(void) {
    products();
    rows();
    convolution();
    delta_rule(1);
    delta_rule(0);
    gdn_pool *pool = gdn_pool_create(3);
    float *runs = zeros(100);
    for (int i = 0; i < 50; i++) gdn_pool_run(pool, 100, add_one, runs);
    gdn_pool_destroy(pool);
    emit("pool", runs, 100);
    return 0;
}
