// Cross-entropy of rows of logits: loss and gradient in one visit.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

#define LANES 16

static inline __attribute__((always_inline)) float row_maximum(const float *x, long width) {
    float most[LANES];
    for (int lane = 0; lane < LANES; lane++) most[lane] = -INFINITY;
    long i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; lane++) most[lane] = x[i + lane] > most[lane] ? x[i + lane] : most[lane];
    float maximum = most[0];
    for (int lane = 1; lane < LANES; lane++) maximum = most[lane] > maximum ? most[lane] : maximum;
    for (; i < width; i++) maximum = x[i] > maximum ? x[i] : maximum;
    return maximum;
}

// loss = log Σ exp(x − m) + (m − x_target), m the largest: exact where one logit dominates, finite for logits of any size.
// gradient = (softmax(x) − onehot(target)) · scale
GDN_CLONES
void gdn_cross_entropy(float *loss, float *gradient, const float *logits, const int32_t *targets, int32_t ignore,
                       float scale, long rows, long width) {
    for (long row = 0; row < rows; row++) {
        const float *x = logits + row * width;
        float *g = gradient ? gradient + row * width : 0;
        if (targets[row] == ignore) {
            loss[row] = 0;
            for (long i = 0; g && i < width; i++) g[i] = 0;
            continue;
        }
        float maximum = row_maximum(x, width);
        float below = maximum - x[targets[row]];
        float sums[LANES] = {0};
        float sum = 0;
        long i = 0;
        if (g) {
            for (; i + LANES <= width; i += LANES)
                for (int lane = 0; lane < LANES; lane++) {
                    float e = gdn_expf(x[i + lane] - maximum);
                    g[i + lane] = e;
                    sums[lane] += e;
                }
            for (; i < width; i++) sum += g[i] = gdn_expf(x[i] - maximum);
        } else {
            for (; i + LANES <= width; i += LANES)
                for (int lane = 0; lane < LANES; lane++) sums[lane] += gdn_expf(x[i + lane] - maximum);
            for (; i < width; i++) sum += gdn_expf(x[i] - maximum);
        }
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        loss[row] = logf(sum) + below;
        if (g) {
            float factor = scale / sum;
            for (long j = 0; j < width; j++) g[j] *= factor;
            g[targets[row]] -= scale;
        }
    }
}
