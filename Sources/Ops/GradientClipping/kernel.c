// The sum of squares of a run of elements.
#include "gdn_clones.h"
#include "gdn_ops.h"

#pragma STDC FP_CONTRACT ON

#define LANES 32

// Squares and sums in double: a large finite gradient does not overflow, so infinity means infinity.
GDN_CLONES
double gdn_sum_of_squares(const float *x, long count) {
    double sums[LANES] = {0};
    long i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += (double)x[i + lane] * (double)x[i + lane];
    double sum = 0;
    for (; i < count; i++) sum += (double)x[i] * (double)x[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}
