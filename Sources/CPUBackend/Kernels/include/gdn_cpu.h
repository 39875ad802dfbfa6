// CPU primitives that every kernel builds on: a thread pool and a matrix product of one thread.
#ifndef GDN_CPU_H
#define GDN_CPU_H

#include <stddef.h>
#include <stdint.h>

/// A pool of threads that runs numbered tasks; the caller takes part in the work.
typedef struct gdn_pool gdn_pool;

/// A pool of `threads` threads, the caller counted.
gdn_pool *gdn_pool_create(int threads);
/// Joins the pool's threads and frees it.
void gdn_pool_destroy(gdn_pool *pool);
/// Runs body(context, task, thread) for every task in 0..<tasks and returns when all are done.
/// Tasks are claimed in order; `thread` is in 0..<threads. One call at a time a pool; a nested call runs in its caller.
void gdn_pool_run(gdn_pool *pool, long tasks, void (*body)(void *context, long task, int thread), void *context);

/// C[m,n] = alpha · op(A) op(B) + beta · C on the calling thread; row-major; op transposes where the flag is 1.
/// With beta 0 the old values of C are not read.
void gdn_gemm_f32(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long lda,
                  const float *b, long ldb, float beta, float *c, long ldc);

/// to[i] += from[i] for i in 0..<count.
void gdn_add_f32(float *to, const float *from, long count);
/// float32 to bfloat16, round to nearest even.
void gdn_f32_to_bf16(uint16_t *to, const float *from, long count);
/// bfloat16 to float32, exact.
void gdn_bf16_to_f32(float *to, const uint16_t *from, long count);

#endif
