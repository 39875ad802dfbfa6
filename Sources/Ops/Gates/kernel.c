// The decay and the write strength of every token and value head, and their gradients.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"

#pragma STDC FP_CONTRACT ON

// ln(1 + x) for 0 ≤ x ≤ 1 as 2 artanh(s), s = x / (2 + x) ≤ 1/3: relative error below 2e-7 also for tiny x.
GDN_INLINE float log_of_one_plus(float x) {
    float s = x / (2.0f + x), square = s * s;
    float p = 1.0f / 15;
    p = p * square + 1.0f / 13;
    p = p * square + 1.0f / 11;
    p = p * square + 1.0f / 9;
    p = p * square + 1.0f / 7;
    p = p * square + 1.0f / 5;
    p = p * square + 1.0f / 3;
    p = p * square + 1.0f;
    return 2.0f * s * p;
}

// ln(1 + eˣ) without overflow
GDN_INLINE float softplus(float x) {
    float size = x < 0 ? -x : x;
    return (x > 0 ? x : 0) + log_of_one_plus(gdn_expf(-size));
}

GDN_CLONES
void gdn_gates_forward(float *log_decay, float *beta, const float *a, const float *b, const float *a_log,
                       const float *dt_bias, float strength, long rows, long heads) {
    for (long row = 0; row < rows; row++) {
        for (long h = 0; h < heads; h++) {
            long i = row * heads + h;
            log_decay[i] = -gdn_expf(a_log[h]) * softplus(a[i] + dt_bias[h]);
            beta[i] = strength * gdn_sigmoidf(b[i]);
        }
    }
}

// da = −dg e^{A} σ(a + dt_bias),  ddt_bias = Σ da,  dA = Σ dg g,  db = c dβ σ(b) (1 − σ(b))
GDN_CLONES
void gdn_gates_backward(float *da, float *db, float *da_log, float *ddt_bias, const float *d_log_decay,
                        const float *d_beta, const float *a, const float *b, const float *a_log, const float *dt_bias,
                        float strength, long rows, long heads) {
    for (long row = 0; row < rows; row++) {
        for (long h = 0; h < heads; h++) {
            long i = row * heads + h;
            float x = a[i] + dt_bias[h], rate = gdn_expf(a_log[h]), up = d_log_decay ? d_log_decay[i] : 0;
            float dx = -up * rate * gdn_sigmoidf(x);
            da[i] = dx;
            ddt_bias[h] += dx;
            da_log[h] -= up * rate * softplus(x);
        }
    }
    for (long i = 0; i < rows * heads; i++)
        db[i] = (d_beta ? d_beta[i] : 0) * strength * gdn_sigmoidf(b[i]) * gdn_sigmoidf(-b[i]);
}
