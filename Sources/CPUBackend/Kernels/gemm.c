// Matrix product of one thread: C = alpha · op(A) op(B) + beta · C, blocked for the caches.
//
// B is cut into panels of one tile's width and A into panels of one tile's height, copied ("packed") so that the tile
// kernel reads both in order; operands that are small and lie well already are read in place. Every element of C is the
// sum over p in order, cut into the same blocks of p for every m and n, so a product computed in pieces by several
// threads has the same bits as in one piece.
#include "gdn_clones.h"
#include "gdn_cpu.h"
#include "gdn_math.h"
#include <pthread.h>
#include <stdlib.h>

#pragma STDC FP_CONTRACT ON

// A panel of B, BLOCK_K × 32 floats, and a tile's rows of A share the first-level cache.
#define BLOCK_K 256
#define BLOCK_M 192
#define BLOCK_N 1024
#define PACK_LINES 16

#define TILE_NAME(x) generic_##x
#define TILE_TARGET
#define TILE_LANES 4
#if defined(__aarch64__)
#define TILE_ROWS 12
#else
#define TILE_ROWS 6
#endif
enum { generic_rows_a_tile = TILE_ROWS, generic_columns = 2 * TILE_LANES };
#include "gemm_tile.h"

#if defined(__x86_64__)
#define TILE_NAME(x) v3_##x
#define TILE_TARGET __attribute__((target("arch=x86-64-v3")))
#define TILE_LANES 8
#define TILE_ROWS 6
enum { v3_rows_a_tile = TILE_ROWS, v3_columns = 2 * TILE_LANES };
#include "gemm_tile.h"

#define TILE_NAME(x) v4_##x
#define TILE_TARGET __attribute__((target("avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx2,fma,bmi2,f16c")))
#define TILE_LANES 16
#define TILE_ROWS 12
enum { v4_rows_a_tile = TILE_ROWS, v4_columns = 2 * TILE_LANES };
#include "gemm_tile.h"
#endif

typedef struct {
    long rows, columns, lanes;
    void (*tile)(long, long, long, float, const float *, long, long, const float *, long, float, float *, long);
    void (*dots_f32)(long, long, long, const float *, long, const float *, long, float, float *, long);
    void (*dots_bf16)(long, long, long, const float *, long, const uint16_t *, long, float, float *, long);
} kernel_set;

#define KERNEL_SET(isa) \
    {isa##_rows_a_tile, isa##_columns, isa##_columns / 2, isa##_tile, isa##_dots_f32, isa##_dots_bf16}

// The tile kernels of this processor.
static const kernel_set *kernels(void) {
    static const kernel_set generic = KERNEL_SET(generic);
#if defined(__x86_64__)
    static const kernel_set v3 = KERNEL_SET(v3), v4 = KERNEL_SET(v4);
    switch (gdn_simd_level()) {
    case 4: return &v4;
    case 3: return &v3;
    }
#endif
    return &generic;
}

// --- Packing buffers: one pair a thread, allocated at its first product and freed when it ends.

#define BUFFER_A (BLOCK_M * BLOCK_K)
#define BUFFER_B (BLOCK_K * BLOCK_N)
static _Thread_local float *thread_buffer;
static pthread_key_t buffer_key;
static pthread_once_t buffer_once = PTHREAD_ONCE_INIT;

static void make_buffer_key(void) { pthread_key_create(&buffer_key, free); }

static float *packing_buffer(void) {
    if (!thread_buffer) {
        pthread_once(&buffer_once, make_buffer_key);
        thread_buffer = aligned_alloc(64, sizeof(float) * (BUFFER_A + BUFFER_B));
        pthread_setspecific(buffer_key, thread_buffer);
    }
    return thread_buffer;
}

typedef float vector4 __attribute__((vector_size(16), aligned(4), may_alias));

// to[p][i] = from[i · stride + p] for i < rows, zero up to `width`: a panel out of rows that are contiguous in p.
static void pack_across(float *to, long width, const float *from, long stride, long rows, long k) {
    long i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *r0 = from + i * stride, *r1 = r0 + stride, *r2 = r1 + stride, *r3 = r2 + stride;
        float *column = to + i;
        long p = 0;
        for (; p + 4 <= k; p += 4) {
            vector4 a = *(const vector4 *)(r0 + p), b = *(const vector4 *)(r1 + p);
            vector4 c = *(const vector4 *)(r2 + p), d = *(const vector4 *)(r3 + p);
            vector4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
            vector4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
            *(vector4 *)(column + p * width) = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
            *(vector4 *)(column + (p + 1) * width) = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
            *(vector4 *)(column + (p + 2) * width) = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
            *(vector4 *)(column + (p + 3) * width) = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
        }
        for (; p < k; p++) {
            column[p * width] = r0[p];
            column[p * width + 1] = r1[p];
            column[p * width + 2] = r2[p];
            column[p * width + 3] = r3[p];
        }
    }
    for (; i < rows; i++)
        for (long p = 0; p < k; p++) to[p * width + i] = from[i * stride + p];
    for (; i < width; i++)
        for (long p = 0; p < k; p++) to[p * width + i] = 0;
}

// to[p][i] = from[p · stride + i] for i < rows, zero up to `width`: a panel out of rows that are contiguous in i.
static inline __attribute__((always_inline)) void pack_along(float *to, const long width, const float *from, long stride,
                                                             const long rows, long k) {
    for (long p = 0; p < k; p++) {
        const float *line = from + p * stride;
        float *out = to + p * width;
        long i = 0;
        for (; i + 4 <= rows; i += 4) *(vector4 *)(out + i) = *(const vector4 *)(line + i);
        for (; i < rows; i++) out[i] = line[i];
        for (; i < width; i++) out[i] = 0;
    }
}

// An operand as the blocked loops see it: element (i, p), with i along the result's rows (A) or columns (B).
typedef struct {
    const float *data;
    long across, along;  // distances between neighbours in i, and in p; one of them is 1
} operand;

static inline const float *at(operand x, long i, long p) { return x.data + i * x.across + p * x.along; }

static inline long smaller(long a, long b) { return a < b ? a : b; }

// All panels of `width` of rows i… and columns p… of an operand, one behind the other. Rows that are contiguous in i
// are read a few at a time across all panels: a panel at a time would meet the same few cache sets again and again.
static void pack(float *to, long width, operand x, long i0, long p0, long rows, long k) {
    if (x.along == 1) {
        for (long i = 0; i < rows; i += width)
            pack_across(to + i * k, width, at(x, i0 + i, p0), x.across, smaller(width, rows - i), k);
        return;
    }
    for (long p = 0; p < k; p += PACK_LINES) {
        long lines = smaller(PACK_LINES, k - p);
        for (long i = 0; i < rows; i += width) {
            float *panel = to + i * k + p * width;
            const float *from = at(x, i0 + i, p0 + p);
            long height = smaller(width, rows - i);
            if (height == 32 && width == 32) {
                pack_along(panel, 32, from, x.along, 32, lines);
            } else if (height == 12 && width == 12) {
                pack_along(panel, 12, from, x.along, 12, lines);
            } else {
                pack_along(panel, width, from, x.along, height, lines);
            }
        }
    }
}

// The size of the pieces when `total` is cut into the fewest pieces of at most `limit`, as even as multiples of `unit` go.
static inline long even_piece(long total, long limit, long unit) {
    long pieces = (total + limit - 1) / limit;
    long size = (total + pieces - 1) / pieces;
    return smaller(limit, (size + unit - 1) / unit * unit);
}

// Columns of B with those of the last panel that are padding.
static inline long padded_columns(const kernel_set *set, long n) { return (n + set->columns - 1) / set->columns * set->columns; }

// One block: rows i0… of A against columns j0… of B over p0…; the B panels are packed already when `packed_b` is not NULL.
static void multiply_block(const kernel_set *set, operand a, operand b, long i0, long rows, long j0, long columns,
                           long p0, long k, float alpha, float *packed_a, const float *packed_b, float beta, float *c,
                           long ldc) {
    long height = even_piece(rows, set->rows, 1);
    if (packed_a) pack(packed_a, height, a, i0, p0, rows, k);
    for (long j = 0; j < columns; j += set->columns) {
        long width = smaller(set->columns, columns - j);
        const float *right = packed_b ? packed_b + j * k : at(b, j0 + j, p0);
        long right_step = packed_b ? set->columns : b.along;
        for (long i = 0; i < rows; i += height) {
            const float *left = packed_a ? packed_a + i * k : at(a, i0 + i, p0);
            set->tile(smaller(height, rows - i), width, k, alpha, left, packed_a ? 1 : a.across,
                      packed_a ? height : a.along, right, right_step, beta, c + (i0 + i) * ldc + j0 + j, ldc);
        }
    }
}

// Whether `lines` cache lines that lie `stride` floats apart share sets of the first-level cache (64 sets is usual) so
// that more than `ways` meet in one: read in place they would evict each other.
static inline int strides_collide(long stride, long lines, long ways) {
    int shared = stride % 16 == 0 && stride > 0 ? __builtin_ctzl((unsigned long)stride / 16) : 0;
    return lines > ways * (64 >> (shared < 6 ? shared : 6));
}

static void scale(long m, long n, float beta, float *c, long ldc) {
    for (long i = 0; i < m; i++)
        for (long j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

// Without memory for packing: slow and right.
static void multiply_plainly(long m, long n, long k, float alpha, operand a, operand b, float beta, float *c, long ldc) {
    for (long i = 0; i < m; i++) {
        for (long j = 0; j < n; j++) {
            float sum = 0;
            for (long p = 0; p < k; p++) sum += *at(a, i, p) * *at(b, j, p);
            c[i * ldc + j] = alpha * sum + (beta == 0 ? 0 : beta * c[i * ldc + j]);
        }
    }
}

// C, block by block, in the same order of p for every m and n. `panels` is B packed as by gdn_gemm_pack_f32; where it is NULL,
// B is packed here or read in place.
static void multiply_blocks(const kernel_set *set, float *buffer, operand left, operand right, const float *panels, int packs_b,
                            long m, long n, long k, float alpha, float beta, float *c, long ldc) {
    long block_k = even_piece(k, BLOCK_K, 8), block_n = panels ? n : BLOCK_N;
    long block_m = even_piece(m, BLOCK_M / set->rows * set->rows, set->rows);
    // Rows that are contiguous in p: a few lines of each row are met again in the next steps of p, and must not evict each
    // other. Rows that are contiguous in i: a step of p reads one new line, which the processor asks for early enough.
    int packs_a = buffer && (n > BLOCK_N || (left.along == 1 && strides_collide(left.across, set->rows, 7)));
    for (long p0 = 0; p0 < k; p0 += block_k) {
        long depth = smaller(block_k, k - p0);
        float keep = p0 == 0 ? beta : 1;
        for (long j0 = 0; j0 < n; j0 += block_n) {
            long columns = smaller(block_n, n - j0);
            const float *packed_b = panels ? panels + p0 * padded_columns(set, n) : packs_b ? buffer + BUFFER_A : NULL;
            if (packs_b) pack(buffer + BUFFER_A, set->columns, right, j0, p0, columns, depth);
            for (long i0 = 0; i0 < m; i0 += block_m)
                multiply_block(set, left, right, i0, smaller(block_m, m - i0), j0, columns, p0, depth, alpha,
                               packs_a ? buffer : NULL, packed_b, keep, c, ldc);
        }
    }
}

void gdn_gemm_f32(int transpose_a, int transpose_b, long m, long n, long k, float alpha, const float *a, long lda,
                  const float *b, long ldb, float beta, float *c, long ldc) {
    if (m <= 0 || n <= 0) return;
    if (k <= 0 || alpha == 0) return scale(m, n, beta, c, ldc);
    const kernel_set *set = kernels();
    operand left = {a, transpose_a ? 1 : lda, transpose_a ? lda : 1};
    operand right = {b, transpose_b ? ldb : 1, transpose_b ? 1 : ldb};
    float *buffer = packing_buffer();
    if (!buffer) return multiply_plainly(m, n, k, alpha, left, right, beta, c, ldc);
    int packs_b = right.along == 1 || n % set->lanes != 0 || (m > 64 && k > 128) || strides_collide(ldb, k, 16);
    multiply_blocks(set, buffer, left, right, NULL, packs_b, m, n, k, alpha, beta, c, ldc);
}

long gdn_gemm_panels(long n) { return padded_columns(kernels(), n) / kernels()->columns; }

long gdn_gemm_packed_floats(long n, long k) { return padded_columns(kernels(), n) * k; }

void gdn_gemm_pack_f32(float *panels, int transpose_b, long n, long k, const float *b, long ldb, long first, long last) {
    const kernel_set *set = kernels();
    operand right = {b, transpose_b ? ldb : 1, transpose_b ? 1 : ldb};
    long block_k = even_piece(k, BLOCK_K, 8), column = first * set->columns;
    for (long p0 = 0; p0 < k; p0 += block_k) {
        long depth = smaller(block_k, k - p0);
        pack(panels + p0 * padded_columns(set, n) + column * depth, set->columns, right, column, p0,
             smaller(n, last * set->columns) - column, depth);
    }
}

void gdn_gemm_packed_f32(long m, long n, long k, const float *a, long lda, const float *panels, float beta, float *c,
                         long ldc) {
    operand left = {a, lda, 1}, none = {NULL, 0, 0};
    multiply_blocks(kernels(), packing_buffer(), left, none, panels, 0, m, n, k, 1, beta, c, ldc);
}

void gdn_rows_f32(long m, long n, long k, const float *x, long ldx, const float *w, long ldw, float beta, float *y,
                  long ldy) {
    kernels()->dots_f32(m, n, k, x, ldx, w, ldw, beta, y, ldy);
}

void gdn_rows_bf16(long m, long n, long k, const float *x, long ldx, const uint16_t *w, long ldw, float beta, float *y,
                   long ldy) {
    kernels()->dots_bf16(m, n, k, x, ldx, w, ldw, beta, y, ldy);
}
