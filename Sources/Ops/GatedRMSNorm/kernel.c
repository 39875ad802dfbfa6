// RMS normalisation of rows with a gate before or after it, forward and backward.
#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

// Sixteen partial sums: the compiler may not reorder a float sum by itself.
#define LANES 16
#define INLINE static inline __attribute__((always_inline))

// Σ a b over one row.
INLINE float dot(const float *a, const float *b, long width) {
    float sums[LANES] = {0};
    long i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += a[i + lane] * b[i + lane];
    float sum = 0;
    for (; i < width; i++) sum += a[i] * b[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

// σ(z) or z σ(z)
INLINE float act(float z, int sigmoid) { return sigmoid ? gdn_sigmoidf(z) : gdn_siluf(z); }

// Norm first: y = x r w act(z). Gate first: u = x act(z), y = u r w. r = 1 / √(mean(…²) + eps).
INLINE float row_forward(float *restrict y, const float *x, const float *gate, const float *weight, int sigmoid,
                         int gate_first, float eps, long width) {
    if (gate_first) {
        for (long j = 0; j < width; j++) y[j] = x[j] * act(gate[j], sigmoid);
        float r = 1.0f / sqrtf(dot(y, y, width) / (float)width + eps);
        for (long j = 0; j < width; j++) y[j] *= r * weight[j];
        return r;
    }
    float r = 1.0f / sqrtf(dot(x, x, width) / (float)width + eps);
    for (long j = 0; j < width; j++) y[j] = x[j] * r * weight[j] * act(gate[j], sigmoid);
    return r;
}

// With a the gradient that reaches the normalised value n = x r (or u r):  r (a − n mean(a n)).
INLINE void row_backward(float *restrict dx, float *restrict dgate, float *restrict dweight, const float *dy,
                         const float *x, const float *gate, float r, const float *weight, int sigmoid,
                         int gate_first, long width) {
    // dx and dgate hold act(z) and act′(z), or a and the finished gradient, between the two passes.
    for (long j = 0; j < width; j++) {
        float z = gate[j], s = gdn_sigmoidf(z);
        float value = sigmoid ? s : z * s;
        float slope = sigmoid ? s * (1.0f - s) : s + z * s * (1.0f - s);
        if (gate_first) {
            dx[j] = value;
            dgate[j] = slope;
            dweight[j] += dy[j] * x[j] * value * r;
        } else {
            float dn = dy[j] * x[j] * r;
            dx[j] = dy[j] * weight[j] * value;
            dgate[j] = dn * weight[j] * slope;
            dweight[j] += dn * value;
        }
    }
    if (!gate_first) {
        float pull = dot(dx, x, width) * r * r / (float)width;
        for (long j = 0; j < width; j++) dx[j] = r * (dx[j] - x[j] * pull);
        return;
    }
    float sums[LANES] = {0}, sum = 0;
    long i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += dy[i + lane] * weight[i + lane] * x[i + lane] * dx[i + lane];
    for (; i < width; i++) sum += dy[i] * weight[i] * x[i] * dx[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    float pull = sum * r * r / (float)width;
    for (long j = 0; j < width; j++) {
        float value = dx[j], du = r * (dy[j] * weight[j] - x[j] * value * pull);
        dx[j] = du * value;
        dgate[j] *= du * x[j];
    }
}

GDN_CLONES
void gdn_gated_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *gate, const float *weight,
                                int sigmoid, int gate_first, float eps, long rows, long groups, long width) {
    for (long row = 0; row < rows * groups; row++) {
        long at = row * width;
        const float *scale = weight + row % groups * width;
        // Constant flags: one loop body without branches for each variant.
        if (gate_first)
            inverse_rms[row] = sigmoid ? row_forward(y + at, x + at, gate + at, scale, 1, 1, eps, width)
                                       : row_forward(y + at, x + at, gate + at, scale, 0, 1, eps, width);
        else
            inverse_rms[row] = sigmoid ? row_forward(y + at, x + at, gate + at, scale, 1, 0, eps, width)
                                       : row_forward(y + at, x + at, gate + at, scale, 0, 0, eps, width);
    }
}

GDN_CLONES
void gdn_gated_rms_norm_backward(float *dx, float *dgate, float *dweight, const float *dy, const float *x,
                                 const float *gate, const float *inverse_rms, const float *weight, int sigmoid,
                                 int gate_first, long rows, long groups, long width) {
    for (long row = 0; row < rows * groups; row++) {
        long at = row * width, in = row % groups * width;
        float r = inverse_rms[row];
#define BACK(sigmoid, gate_first)                                                                                  \
    row_backward(dx + at, dgate + at, dweight + in, dy + at, x + at, gate + at, r, weight + in, sigmoid, gate_first, \
                 width)
        if (gate_first) {
            if (sigmoid) BACK(1, 1);
            else BACK(0, 1);
        } else {
            if (sigmoid) BACK(1, 0);
            else BACK(0, 0);
        }
#undef BACK
    }
}
