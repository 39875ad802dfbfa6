// The CPU kernels of all operations; each is described and defined in its operation's kernel.c.
// All work on float32, on the calling thread, on the rows they are given: the Swift side splits the work.
#ifndef GDN_OPS_H
#define GDN_OPS_H

#include "gdn_cpu.h"

// --- RMSNorm
/// y = x / rms(x) · (offset + weight) for `rows` rows of `width`; stores 1 / rms.
void gdn_rms_norm_forward(float *y, float *inverse_rms, const float *x, const float *weight, float offset, float eps,
                          long rows, long width);
/// dx, and dweight += over the rows.
void gdn_rms_norm_backward(float *dx, float *dweight, const float *dy, const float *x, const float *inverse_rms,
                           const float *weight, float offset, long rows, long width);

#endif
