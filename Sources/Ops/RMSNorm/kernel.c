// RMS normalisation of rows, forward and backward, and with the residual addition in the same pass.
#include "gdn_clones.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

// Sixteen partial sums: the compiler may not reorder a float sum by itself.
#define LANES 16

// y = x / √(mean(x²) + eps) · (offset + weight); returns the factor 1 / √….
static inline __attribute__((always_inline)) float normalise(float *restrict y, const float *x, const float *weight,
                                                             float offset, float eps, long width) {
    float sums[LANES] = {0};
    long i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += x[i + lane] * x[i + lane];
    float sum = 0;
    for (; i < width; i++) sum += x[i] * x[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    float r = 1.0f / sqrtf(sum / (float)width + eps);
    for (long j = 0; j < width; j++) y[j] = x[j] * r * (offset + weight[j]);
    return r;
}

GDN_CLONES
void gdn_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *weight, float offset, float eps,
                          long rows, long width) {
    for (long row = 0; row < rows; row++)
        inverse_rms[row] = normalise(y + row * width, x + row * width, weight, offset, eps, width);
}

GDN_CLONES
void gdn_add_rms_norm_forward(float *sum, float *y, float *inverse_rms, const float *x, const float *residual,
                              const float *weight, float offset, float eps, long rows, long width) {
    for (long row = 0; row < rows; row++) {
        float *restrict total = sum + row * width;
        const float *a = x + row * width, *b = residual + row * width;
        for (long j = 0; j < width; j++) total[j] = a[j] + b[j];
        inverse_rms[row] = normalise(y + row * width, total, weight, offset, eps, width);
    }
}

// With n = x r and a = dy (offset + w):  dx = r (a − n mean(a n)) + dsum,  dw += dy n.
static inline __attribute__((always_inline)) void pull_back(float *restrict dx, float *restrict dweight,
                                                            const float *dy, const float *dsum, const float *x,
                                                            float r, const float *weight, float offset, long width) {
    float sums[LANES] = {0};
    long i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += dy[i + lane] * (offset + weight[i + lane]) * x[i + lane];
    float sum = 0;
    for (; i < width; i++) sum += dy[i] * (offset + weight[i]) * x[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    float pull = sum * r * r / (float)width;
    if (dsum) {
        for (long j = 0; j < width; j++) {
            dx[j] = r * (dy[j] * (offset + weight[j]) - x[j] * pull) + dsum[j];
            dweight[j] += dy[j] * x[j] * r;
        }
    } else {
        for (long j = 0; j < width; j++) {
            dx[j] = r * (dy[j] * (offset + weight[j]) - x[j] * pull);
            dweight[j] += dy[j] * x[j] * r;
        }
    }
}

GDN_CLONES
void gdn_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *dsum, const float *x,
                           const float *inverse_rms, const float *weight, float offset, long rows, long width) {
    for (long row = 0; row < rows; row++) {
        long at = row * width;
        pull_back(dx + at, dweight, dy + at, dsum ? dsum + at : 0, x + at, inverse_rms[row], weight, offset, width);
    }
}
