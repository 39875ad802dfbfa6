// The innermost loops of the matrix product, included once for each instruction set.
//
// The including file defines TILE_NAME(x), TILE_TARGET (a function attribute), TILE_LANES (floats a vector) and
// TILE_ROWS (rows of a tile; a tile is TILE_ROWS × 2 vectors and its sums fill the registers).

typedef float TILE_NAME(vector) __attribute__((vector_size(TILE_LANES * 4), aligned(4), may_alias));
typedef uint16_t TILE_NAME(halves) __attribute__((vector_size(TILE_LANES * 2), aligned(2), may_alias));
typedef uint32_t TILE_NAME(words) __attribute__((vector_size(TILE_LANES * 4)));

// sums[i][j] = Σ_p a[i, p] b[p, j] for `rows` × (`vectors` · lanes), then C = alpha · sums + beta · C.
// `rows` and `vectors` are constants where this is inlined, so that the sums live in registers.
__attribute__((always_inline)) static inline void TILE_NAME(body)(
    const int rows, const int vectors, long columns, long k, float alpha, const float *a, long a_row, long a_k,
    const float *b, long b_k, float beta, float *c, long ldc) {
    TILE_NAME(vector) sums[TILE_ROWS][2] = {0};
    for (long p = 0; p < k; p++) {
        TILE_NAME(vector) right[2];
#pragma clang loop unroll(full)
        for (int j = 0; j < vectors; j++) right[j] = *(const TILE_NAME(vector) *)(b + p * b_k + j * TILE_LANES);
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
            float left = a[i * a_row + p * a_k];
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) sums[i][j] += left * right[j];
        }
    }
    if (columns == vectors * TILE_LANES) {
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) {
                TILE_NAME(vector) *to = (TILE_NAME(vector) *)(c + i * ldc + j * TILE_LANES);
                TILE_NAME(vector) sum = alpha * sums[i][j];
                *to = beta == 0 ? sum : sum + beta * *to;
            }
        }
    } else {
#pragma clang loop unroll(full)
        for (int i = 0; i < rows; i++) {
            float line[2 * TILE_LANES];
#pragma clang loop unroll(full)
            for (int j = 0; j < vectors; j++) *(TILE_NAME(vector) *)(line + j * TILE_LANES) = alpha * sums[i][j];
            for (long j = 0; j < columns; j++)
                c[i * ldc + j] = beta == 0 ? line[j] : line[j] + beta * c[i * ldc + j];
        }
    }
}

#define TILE_CASE(n)                                                                                             \
    case n:                                                                                                      \
        if (a_row == 1) {                                                                                        \
            TILE_NAME(body)(n, vectors, columns, k, alpha, a, 1, a_k, b, b_k, beta, c, ldc);                     \
        } else {                                                                                                 \
            TILE_NAME(body)(n, vectors, columns, k, alpha, a, a_row, 1, b, b_k, beta, c, ldc);                   \
        }                                                                                                        \
        break;

__attribute__((always_inline)) static inline void TILE_NAME(rows)(
    const int vectors, long rows, long columns, long k, float alpha, const float *a, long a_row, long a_k,
    const float *b, long b_k, float beta, float *c, long ldc) {
    switch (rows) {
        TILE_CASE(1)
        TILE_CASE(2)
        TILE_CASE(3)
        TILE_CASE(4)
#if TILE_ROWS >= 6
        TILE_CASE(5)
        TILE_CASE(6)
#endif
#if TILE_ROWS >= 12
        TILE_CASE(7)
        TILE_CASE(8)
        TILE_CASE(9)
        TILE_CASE(10)
        TILE_CASE(11)
        TILE_CASE(12)
#endif
#if TILE_ROWS >= 14
        TILE_CASE(13)
        TILE_CASE(14)
#endif
    }
}

// One tile: `rows` ≤ TILE_ROWS, `columns` ≤ 2 vectors. Either a_row or a_k is 1. B's rows are readable to a whole
// number of vectors.
TILE_TARGET static void TILE_NAME(tile)(long rows, long columns, long k, float alpha, const float *a, long a_row,
                                        long a_k, const float *b, long b_k, float beta, float *c, long ldc) {
    if (columns > TILE_LANES) {
        TILE_NAME(rows)(2, rows, columns, k, alpha, a, a_row, a_k, b, b_k, beta, c, ldc);
    } else {
        TILE_NAME(rows)(1, rows, columns, k, alpha, a, a_row, a_k, b, b_k, beta, c, ldc);
    }
}
#undef TILE_CASE

// y[i] = Σ_p x[i, p] w[p] for `rows` of constants: one row of weights at a time, so that they stream from memory in
// order (four rows side by side ran at a quarter of the bandwidth).
#define TILE_DOTS(NAME, WEIGHT, LOAD, WIDEN)                                                                     \
    __attribute__((always_inline)) static inline void TILE_NAME(NAME##_body)(                                    \
        const int rows, long k, const float *x, long ldx, const WEIGHT *w, float beta, float *y, long ldy) {     \
        TILE_NAME(vector) sums[4][4] = {0};                                                                      \
        long p = 0;                                                                                              \
        for (; p + 4 * TILE_LANES <= k; p += 4 * TILE_LANES) {                                                   \
            _Pragma("clang loop unroll(full)") for (int c = 0; c < 4; c++) {                                     \
                TILE_NAME(vector) weight;                                                                        \
                LOAD(weight, w + p + c * TILE_LANES)                                                             \
                _Pragma("clang loop unroll(full)") for (int i = 0; i < rows; i++) sums[i][c] +=                  \
                    weight * *(const TILE_NAME(vector) *)(x + i * ldx + p + c * TILE_LANES);                     \
            }                                                                                                    \
        }                                                                                                        \
        for (int i = 0; i < rows; i++) {                                                                         \
            TILE_NAME(vector) all = (sums[i][0] + sums[i][1]) + (sums[i][2] + sums[i][3]);                       \
            float lanes[TILE_LANES];                                                                             \
            *(TILE_NAME(vector) *)lanes = all;                                                                   \
            _Pragma("clang loop unroll(full)") for (int half = TILE_LANES / 2; half > 0; half /= 2)              \
                _Pragma("clang loop unroll(full)") for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];   \
            float sum = lanes[0];                                                                                \
            for (long q = p; q < k; q++) sum += x[i * ldx + q] * WIDEN(w[q]);                                    \
            y[i * ldy] = beta == 0 ? sum : sum + beta * y[i * ldy];                                              \
        }                                                                                                        \
    }                                                                                                            \
    TILE_TARGET static void TILE_NAME(NAME)(long m, long n, long k, const float *x, long ldx, const WEIGHT *w,   \
                                            long ldw, float beta, float *y, long ldy) {                          \
        for (long j = 0; j < n; j++) {                                                                           \
            const WEIGHT *row = w + j * ldw;                                                                     \
            for (long i = 0; i < m; i += 4) {                                                                    \
                const float *in = x + i * ldx;                                                                   \
                float *out = y + i * ldy + j;                                                                    \
                switch (m - i) {                                                                                 \
                case 1: TILE_NAME(NAME##_body)(1, k, in, ldx, row, beta, out, ldy); break;                       \
                case 2: TILE_NAME(NAME##_body)(2, k, in, ldx, row, beta, out, ldy); break;                       \
                case 3: TILE_NAME(NAME##_body)(3, k, in, ldx, row, beta, out, ldy); break;                       \
                default: TILE_NAME(NAME##_body)(4, k, in, ldx, row, beta, out, ldy); break;                      \
                }                                                                                                \
            }                                                                                                    \
        }                                                                                                        \
    }
#define TILE_LOAD_FLOAT(to, from) to = *(const TILE_NAME(vector) *)(from);
#define TILE_LOAD_BF16(to, from)                                                                                 \
    TILE_NAME(words) bits =                                                                                      \
        __builtin_convertvector(*(const TILE_NAME(halves) *)(from), TILE_NAME(words)) << 16;                     \
    to = (TILE_NAME(vector))bits;
TILE_DOTS(dots_f32, float, TILE_LOAD_FLOAT, (float))
TILE_DOTS(dots_bf16, uint16_t, TILE_LOAD_BF16, gdn_f32)

#undef TILE_DOTS
#undef TILE_LOAD_FLOAT
#undef TILE_LOAD_BF16
#undef TILE_NAME
#undef TILE_TARGET
#undef TILE_LANES
#undef TILE_ROWS
