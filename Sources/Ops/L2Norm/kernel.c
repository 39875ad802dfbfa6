// Normalisation of short rows (one head of a query or key): by the Euclidean norm, the sum of magnitudes, or softmax.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

// Sixteen partial results: the compiler may not reorder a float sum by itself.
#define LANES 16
#define INLINE static inline __attribute__((always_inline))
// result += expression(i) over one row.
#define SUM(result, expression)                                          \
    do {                                                                 \
        float sums[LANES] = {0};                                         \
        long at = 0;                                                     \
        for (; at + LANES <= width; at += LANES)                         \
            for (int lane = 0; lane < LANES; lane++) {                   \
                long i = at + lane;                                      \
                sums[lane] += (expression);                              \
            }                                                            \
        for (long i = at; i < width; i++) result += (expression);        \
        for (int lane = 0; lane < LANES; lane++) result += sums[lane];   \
    } while (0)

INLINE float row_maximum(const float *x, long width) {
    float best[LANES];
    for (int lane = 0; lane < LANES; lane++) best[lane] = -INFINITY;
    long at = 0;
    for (; at + LANES <= width; at += LANES)
        for (int lane = 0; lane < LANES; lane++) best[lane] = x[at + lane] > best[lane] ? x[at + lane] : best[lane];
    float result = -INFINITY;
    for (; at < width; at++) result = x[at] > result ? x[at] : result;
    for (int lane = 0; lane < LANES; lane++) result = best[lane] > result ? best[lane] : result;
    return result;
}

GDN_CLONES
void gdn_normalise_rows_forward(float *y, float *factor, const float *x, int kind, float eps, long rows, long width) {
    for (long row = 0; row < rows; row++) {
        const float *in = x + row * width;
        float *restrict out = y + row * width;
        float sum = 0, scale;
        if (kind == GDN_ROW_SOFTMAX) {
            float top = row_maximum(in, width);
            for (long i = 0; i < width; i++) out[i] = gdn_expf(in[i] - top);
            SUM(sum, out[i]);
            scale = 1.0f / sum;
            for (long i = 0; i < width; i++) out[i] *= scale;
            continue;
        }
        if (kind == GDN_ROW_L2) {
            SUM(sum, in[i] * in[i]);
            scale = 1.0f / sqrtf(sum + eps);
        } else {
            SUM(sum, fabsf(in[i]));
            scale = 1.0f / (sum + eps);
        }
        factor[row] = scale;
        for (long i = 0; i < width; i++) out[i] = in[i] * scale;
    }
}

// L2, r = 1/√(Σx² + eps):   dx = r (dy − x r² Σ dy x)
// L1, r = 1/(Σ|x| + eps):   dx = r (dy − sign(x) r Σ dy x)
// softmax:                  dx = y (dy − Σ dy y)
GDN_CLONES
void gdn_normalise_rows_backward(float *dx, const float *dy, const float *x_or_y, const float *factor, int kind,
                                 long rows, long width) {
    for (long row = 0; row < rows; row++) {
        const float *in = x_or_y + row * width, *up = dy + row * width;
        float *restrict out = dx + row * width;
        float sum = 0;
        SUM(sum, up[i] * in[i]);
        if (kind == GDN_ROW_SOFTMAX) {
            for (long i = 0; i < width; i++) out[i] = in[i] * (up[i] - sum);
            continue;
        }
        float r = factor[row];
        if (kind == GDN_ROW_L2) {
            float pull = sum * r * r;
            for (long i = 0; i < width; i++) out[i] = r * (up[i] - in[i] * pull);
        } else {
            float pull = sum * r;
            for (long i = 0; i < width; i++) {
                float sign = in[i] > 0.0f ? pull : in[i] < 0.0f ? -pull : 0.0f;
                out[i] = r * (up[i] - sign);
            }
        }
    }
}
