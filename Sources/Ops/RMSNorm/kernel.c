// RMS normalisation of rows, forward and backward.
#include "gdn_clones.h"
#include "gdn_ops.h"
#include <math.h>

#pragma STDC FP_CONTRACT ON

// Sixteen partial sums: the compiler may not reorder a float sum by itself.
#define LANES 16

GDN_CLONES
void gdn_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *weight, float offset, float eps,
                          long rows, long width) {
    for (long row = 0; row < rows; row++) {
        const float *in = x + row * width;
        float *out = y + row * width;
        float sums[LANES] = {0};
        long i = 0;
        for (; i + LANES <= width; i += LANES)
            for (int lane = 0; lane < LANES; lane++) sums[lane] += in[i + lane] * in[i + lane];
        float sum = 0;
        for (; i < width; i++) sum += in[i] * in[i];
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        float r = 1.0f / sqrtf(sum / (float)width + eps);
        inverse_rms[row] = r;
        for (long j = 0; j < width; j++) out[j] = in[j] * r * (offset + weight[j]);
    }
}

// With n = x r and a = dy (offset + w):  dx = r (a − n mean(a n)),  dw += dy n.
GDN_CLONES
void gdn_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *inverse_rms,
                           const float *weight, float offset, long rows, long width) {
    for (long row = 0; row < rows; row++) {
        const float *in = x + row * width, *dout = dy + row * width;
        float *din = dx + row * width;
        float r = inverse_rms[row];
        float sums[LANES] = {0};
        long i = 0;
        for (; i + LANES <= width; i += LANES)
            for (int lane = 0; lane < LANES; lane++)
                sums[lane] += dout[i + lane] * (offset + weight[i + lane]) * in[i + lane];
        float sum = 0;
        for (; i < width; i++) sum += dout[i] * (offset + weight[i]) * in[i];
        for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
        float pull = sum * r * r / (float)width;
        for (long j = 0; j < width; j++) {
            din[j] = r * (dout[j] * (offset + weight[j]) - in[j] * pull);
            dweight[j] += dout[j] * in[j] * r;
        }
    }
}
