// One step of AdamW on a run of elements: parameter, both moments and gradient are read once, in one pass.
#include "gdn_clones.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

// g = scale g;  m = β₁ m + (1 − β₁) g;  v = β₂ v + (1 − β₂) g²
// p = (1 − lr λ) p − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps)
GDN_CLONES
void gdn_adamw_step(float *restrict p, float *restrict m, float *restrict v, const float *restrict g,
                    const gdn_adamw_factors *factors, long count) {
    const gdn_adamw_factors f = *factors;
    for (long i = 0; i < count; i++) {
        float gradient = g[i] * f.gradient_scale;
        float first = f.beta1 * m[i] + f.rest1 * gradient;
        float second = f.beta2 * v[i] + f.rest2 * gradient * gradient;
        m[i] = first;
        v[i] = second;
        p[i] = f.keep * p[i] - f.rate * first / (__builtin_elementwise_sqrt(second) * f.inverse_root + f.eps);
    }
}
