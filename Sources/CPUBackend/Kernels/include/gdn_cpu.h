// CPU primitives that every kernel builds on: a thread pool and a matrix product of one thread.
#ifndef GDN_CPU_H
#define GDN_CPU_H

#include <stddef.h>
#include <stdint.h>

/// A pool of threads that runs numbered tasks; the caller takes part in the work.
typedef struct gdn_pool gdn_pool;

/// One task of a job; `thread` is in 0..<threads of the pool.
typedef void (*gdn_task)(void *context, long task, int thread);

/// A pool of `threads` threads, the caller counted; of fewer where the system refuses some. NULL without memory.
gdn_pool *gdn_pool_create(int threads);
/// Number of threads, the caller counted; 1 for NULL.
int gdn_pool_threads(const gdn_pool *pool);
/// Joins the pool's threads and frees it. No call may be running.
void gdn_pool_destroy(gdn_pool *pool);
/// Runs body(context, task, thread) for every task in 0..<tasks and returns when all are done.
/// Every thread begins with its own share of consecutive tasks, the same whenever `tasks` is. Calls of several threads take turns; a call from inside a task runs in its caller alone.
void gdn_pool_run(gdn_pool *pool, long tasks, gdn_task body, void *context);
/// Whether the calling thread is running a task of a pool.
int gdn_pool_in_task(void);

/// C[m,n] = alpha · op(A) op(B) + beta · C on the calling thread; row-major; op transposes where the flag is 1.
/// With beta 0 the old values of C are not read.
void gdn_gemm_f32(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long lda,
                  const float *b, long ldb, float beta, float *c, long ldc);

/// B of k × n packed for several products with it: number of panels of columns, floats in all, and packing of the panels
/// first..<last, which touches no other panel. `transpose_b` as above.
long gdn_gemm_panels(long n);
long gdn_gemm_packed_floats(long n, long k);
void gdn_gemm_pack_f32(float *panels, int transpose_b, long n, long k, const float *b, long ldb, long first, long last);
/// C[m,n] = A[m,k] B + beta · C with packed B: the bits of gdn_gemm_f32.
void gdn_gemm_packed_f32(long m, long n, long k, const float *a, long lda, const float *panels, float beta, float *c,
                         long ldc);

/// y[m,n] = x[m,k] w[n,k]ᵀ + beta · y for few rows (decoding): w is read once, in order. On the calling thread.
void gdn_rows_f32(long m, long n, long k, const float *x, long ldx, const float *w, long ldw, float beta, float *y,
                  long ldy);
/// The same with bfloat16 weights, sums in float32.
void gdn_rows_bf16(long m, long n, long k, const float *x, long ldx, const uint16_t *w, long ldw, float beta, float *y,
                   long ldy);
/// Processors that this process may run on, at least 1.
int gdn_available_cores(void);
/// Instruction set the kernels use: 4 = AVX-512 (x86-64-v4), 3 = AVX2 (x86-64-v3), 0 = the baseline.
int gdn_simd_level(void);

/// to[i] += from[i] for i in 0..<count.
void gdn_add_f32(float *to, const float *from, long count);
/// x[i] *= factor for i in 0..<count.
void gdn_scale_f32(float *x, float factor, long count);
/// to[i] += from[i] in bfloat16: added in float32, rounded to nearest even.
void gdn_add_bf16(uint16_t *to, const uint16_t *from, long count);
/// float32 to bfloat16, round to nearest even.
void gdn_f32_to_bf16(uint16_t *to, const float *from, long count);
/// bfloat16 to float32, exact.
void gdn_bf16_to_f32(float *to, const uint16_t *from, long count);

#endif
