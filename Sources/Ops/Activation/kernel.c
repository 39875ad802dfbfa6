// Pointwise activations and their derivatives. The activation is chosen once, outside the loops.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"
#include <string.h>

#pragma STDC FP_CONTRACT ON

// In place or not: element i depends on element i alone.
#define EACH _Pragma("clang loop vectorize(assume_safety)") for (long i = 0; i < count; i++)

GDN_CLONES
void gdn_activation_forward(float *y, const float *x, int activation, long count) {
    switch (activation) {
    case GDN_ACTIVATION_SILU:
        EACH y[i] = gdn_siluf(x[i]);
        break;
    case GDN_ACTIVATION_RELU:
        // Written so that NaN stays NaN.
        EACH y[i] = x[i] < 0.0f ? 0.0f : x[i];
        break;
    case GDN_ACTIVATION_ONE_PLUS_ELU:
        EACH y[i] = x[i] > 0.0f ? 1.0f + x[i] : gdn_expf(x[i]);
        break;
    default:
        if (y != x) memcpy(y, x, (size_t)count * sizeof(float));
    }
}

GDN_CLONES
void gdn_activation_backward(float *dx, const float *dy, const float *x, int activation, long count) {
    switch (activation) {
    case GDN_ACTIVATION_SILU:
        EACH dx[i] = dy[i] * gdn_silu_gradf(x[i]);
        break;
    case GDN_ACTIVATION_RELU:
        EACH dx[i] = x[i] > 0.0f ? dy[i] : 0.0f;
        break;
    case GDN_ACTIVATION_ONE_PLUS_ELU:
        EACH dx[i] = x[i] > 0.0f ? dy[i] : dy[i] * gdn_expf(x[i]);
        break;
    default:
        if (dx != dy) memcpy(dx, dy, (size_t)count * sizeof(float));
    }
}
