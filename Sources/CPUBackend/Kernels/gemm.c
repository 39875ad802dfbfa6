// Matrix product of one thread (first form: plain loops).
#include "gdn_clones.h"
#include "gdn_cpu.h"

#pragma STDC FP_CONTRACT ON

GDN_CLONES
void gdn_gemm_f32(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long lda,
                  const float *b, long ldb, float beta, float *c, long ldc) {
    for (long i = 0; i < m; i++) {
        float *row = c + i * ldc;
        for (long j = 0; j < n; j++) row[j] = beta == 0 ? 0 : beta * row[j];
        for (long p = 0; p < k; p++) {
            float x = alpha * (transpose_a ? a[p * lda + i] : a[i * lda + p]);
            if (transpose_b) {
                for (long j = 0; j < n; j++) row[j] += x * b[j * ldb + p];
            } else {
                for (long j = 0; j < n; j++) row[j] += x * b[p * ldb + j];
            }
        }
    }
}
