// The gate of the feed-forward layer, forward and backward.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"

#pragma STDC FP_CONTRACT ON

// y = g σ(g) u
GDN_CLONES
void gdn_swiglu_forward(float *restrict y, const float *gate, const float *up, long count) {
    for (long i = 0; i < count; i++) y[i] = gdn_siluf(gate[i]) * up[i];
}

// dg = dy u σ (1 + g (1 − σ)),  du = dy g σ
GDN_CLONES
void gdn_swiglu_backward(float *restrict dgate, float *restrict dup, const float *dy, const float *gate,
                         const float *up, long count) {
    for (long i = 0; i < count; i++) {
        float s = gdn_sigmoidf(gate[i]);
        float silu = gate[i] * s;
        dup[i] = dy[i] * silu;
        dgate[i] = dy[i] * up[i] * (s + silu * (1.0f - s));
    }
}
