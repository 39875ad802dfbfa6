// The one matrix layout and the one product tile that the chunk kernels of the gated delta rule are made of.
//
// A matrix of R rows is cut into panels of 32 columns, each panel R × 32 contiguous, columns past the end zero.
// A tile is 8 rows × 32 columns of a result, held in 16 vector registers while terms are added:
// the right factor is read 32 columns at a time, the left factor one element at a time, plain or transposed.
#ifndef GDN_GATED_DELTA_RULE_PANEL_H
#define GDN_GATED_DELTA_RULE_PANEL_H

#include "gdn_clones.h"
#include "gdn_math.h"
#include "gdn_ops.h"
#include <string.h>

#pragma STDC FP_CONTRACT ON

enum { PANEL = 32, TILE = 8, LANES = 16, CHUNK = GDN_DELTA_CHUNK };

/// Sixteen floats, at any address.
typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));

/// Eight floats, and eight doubles.
typedef float half_lanes __attribute__((vector_size(32), aligned(4), may_alias));
typedef double wide_lanes __attribute__((vector_size(64)));

/// 8 rows × 32 columns.
typedef struct {
    lanes at[TILE][2];
} tile;

/// n rounded up to a multiple of `step`.
GDN_INLINE long round_up(long n, long step) { return (n + step - 1) / step * step; }

/// The sixteen floats at an address. A macro, because vectors must not cross the boundary of a function.
#define AT(address) (*(lanes *)(address))

GDN_INLINE float lane_sum(const float *x) {
    float half[8], quarter[4];
    for (int i = 0; i < 8; i++) half[i] = x[i] + x[i + 8];
    for (int i = 0; i < 4; i++) quarter[i] = half[i] + half[i + 4];
    return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

GDN_INLINE void tile_zero(tile *t) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) t->at[r][0] = t->at[r][1] = (lanes){0};
}

/// t = scale · from
GDN_INLINE void tile_load(tile *t, const float *from, float scale) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        t->at[r][0] = AT(from + r * PANEL) * scale;
        t->at[r][1] = AT(from + r * PANEL + LANES) * scale;
    }
}

GDN_INLINE void tile_store(const tile *t, float *to) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        AT(to + r * PANEL) = t->at[r][0];
        AT(to + r * PANEL + LANES) = t->at[r][1];
    }
}

/// t += from
GDN_INLINE void tile_add_tile(tile *t, const float *from) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        t->at[r][0] += AT(from + r * PANEL);
        t->at[r][1] += AT(from + r * PANEL + LANES);
    }
}

/// Row r times scales[r].
GDN_INLINE void tile_scale_rows(tile *t, const float *scales, float common) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        float scale = scales[r] * common;
        t->at[r][0] *= scale;
        t->at[r][1] *= scale;
    }
}

/// row_lanes[r] = t[r] ⊙ other[r], folded to 16 lanes: row dot products whose lanes are still apart.
GDN_INLINE void tile_row_dots(const tile *t, const float *other, float *row_lanes) {
#pragma clang loop unroll(full)
    for (int r = 0; r < TILE; r++) {
        lanes sum = t->at[r][0] * AT(other + r * PANEL);
        sum += t->at[r][1] * AT(other + r * PANEL + LANES);
        AT(row_lanes + r * LANES) = sum;
    }
}

/// t[r] += Σ_p a[r][p] b[p]; at most one panel of a.
GDN_INLINE void tile_add(tile *t, const float *a, const float *b, long count) {
    tile sum = *t;
    for (long p = 0; p < count; p++) {
        lanes b0 = AT(b + p * PANEL), b1 = AT(b + p * PANEL + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < TILE; r++) {
            float x = a[r * PANEL + p];
            sum.at[r][0] += b0 * x;
            sum.at[r][1] += b1 * x;
        }
    }
    *t = sum;
}

/// t[r] += Σ_p a[p][r] b[p]: left factor transposed.
GDN_INLINE void tile_add_transposed(tile *t, const float *a, const float *b, long count) {
    tile sum = *t;
    for (long p = 0; p < count; p++) {
        lanes b0 = AT(b + p * PANEL), b1 = AT(b + p * PANEL + LANES);
#pragma clang loop unroll(full)
        for (int r = 0; r < TILE; r++) {
            float x = a[p * PANEL + r];
            sum.at[r][0] += b0 * x;
            sum.at[r][1] += b1 * x;
        }
    }
    *t = sum;
}

/// t[r] += Σ_{p < count} A[row + r][p] B[p] over the panels of A, which has `rows` rows; B is one panel.
GDN_INLINE void tile_add_panels(tile *t, const float *a, long rows, long row, const float *b, long count) {
    for (long p = 0; p < count; p += PANEL)
        tile_add(t, a + p * rows + row * PANEL, b + p * PANEL, count - p < PANEL ? count - p : PANEL);
}

/// The 32 × 32 block at `from` transposed to `to`, both rows of a panel.
GDN_INLINE void transpose_block(float *to, const float *from) {
    for (int i = 0; i < PANEL; i += LANES) {
        for (int j = 0; j < PANEL; j += LANES) {
            lanes a[LANES], b[LANES];
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES; r++) a[r] = AT(from + (i + r) * PANEL + j);
            // Four rounds; each swaps one bit of the row number with one bit of the lane number.
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES; r += 2) {
                b[r] = __builtin_shufflevector(a[r], a[r + 1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14,
                                               30);
                b[r + 1] =
                    __builtin_shufflevector(a[r], a[r + 1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
            }
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES; r++) {
                if (r & 2) continue;
                a[r] = __builtin_shufflevector(b[r], b[r + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28,
                                               29);
                a[r + 2] =
                    __builtin_shufflevector(b[r], b[r + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
            }
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES; r++) {
                if (r & 4) continue;
                b[r] = __builtin_shufflevector(a[r], a[r + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26,
                                               27);
                b[r + 4] =
                    __builtin_shufflevector(a[r], a[r + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
            }
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES / 2; r++) {
                a[r] = __builtin_shufflevector(b[r], b[r + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
                a[r + 8] =
                    __builtin_shufflevector(b[r], b[r + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30,
                                            31);
            }
#pragma clang loop unroll(full)
            for (int r = 0; r < LANES; r++) AT(to + (j + r) * PANEL + i) = a[r];
        }
    }
}

/// `to` [columns × rows] = `from` [rows × columns] transposed; both counts multiples of 32.
GDN_INLINE void transpose_panels(float *to, const float *from, long rows, long columns) {
    for (long i = 0; i < rows; i += PANEL)
        for (long j = 0; j < columns; j += PANEL)
            transpose_block(to + i * columns + j * PANEL, from + j * rows + i * PANEL);
}

/// Asks for `count` rows of `width` columns that lie `stride` apart, to be read or written some thousand cycles later:
/// rows of one head are short and far apart, which the processor does not foresee.
GDN_INLINE void prefetch_rows(const float *from, long stride, long count, long width) {
    for (long i = 0; i < count; i++)
        for (long j = 0; j < width; j += LANES) __builtin_prefetch(from + i * stride + j, 0, 2);
}

/// One panel from `count` rows that lie `stride` apart, `width` columns of them; the rest of `rows` × 32 is zero.
GDN_INLINE void gather_panel(float *panel, const float *from, long stride, long count, long rows, long width) {
    if (width >= PANEL) {
        for (long i = 0; i < count; i++) {
            AT(panel + i * PANEL) = AT(from + i * stride);
            AT(panel + i * PANEL + LANES) = AT(from + i * stride + LANES);
        }
    } else {
        for (long i = 0; i < count; i++)
            for (long j = 0; j < PANEL; j++) panel[i * PANEL + j] = j < width ? from[i * stride + j] : 0;
    }
    if (count < rows) memset(panel + count * PANEL, 0, sizeof(float) * PANEL * (rows - count));
}

/// The reverse of `gather_panel`, without the padding.
GDN_INLINE void scatter_panel(float *to, const float *panel, long stride, long count, long width) {
    if (width >= PANEL) {
        for (long i = 0; i < count; i++) {
            AT(to + i * stride) = AT(panel + i * PANEL);
            AT(to + i * stride + LANES) = AT(panel + i * PANEL + LANES);
        }
    } else {
        for (long i = 0; i < count; i++)
            for (long j = 0; j < width; j++) to[i * stride + j] = panel[i * PANEL + j];
    }
}

/// All panels of `count` rows of `width` columns, padded to `rows` rows.
GDN_INLINE void gather(float *panels, const float *from, long stride, long count, long rows, long width) {
    for (long j = 0; j < width; j += PANEL)
        gather_panel(panels + j * rows, from + j, stride, count, rows, width - j);
}

/// The reverse of `gather`.
GDN_INLINE void scatter(float *to, const float *panels, long stride, long count, long rows, long width) {
    for (long j = 0; j < width; j += PANEL) scatter_panel(to + j, panels + j * rows, stride, count, width - j);
}

/// to[i] = common · scales[i] · from[i] for `rows` rows of matrices with CHUNK rows and `columns` columns.
GDN_INLINE void scale_rows(float *to, const float *from, const float *scales, float common, long rows, long columns) {
    for (long j = 0; j < columns; j += PANEL) {
        for (long i = 0; i < rows; i++) {
            float scale = common * scales[i];
            long at = j * CHUNK + i * PANEL;
            AT(to + at) = AT(from + at) * scale;
            AT(to + at + LANES) = AT(from + at + LANES) * scale;
        }
    }
}

/// out = A Bᵀ on and below the diagonal, in tiles; `transposed` is Bᵀ. The tiles above the diagonal are not written.
///
/// Each panel's terms are summed by themselves first: an error of rounding is in proportion to the sum so far, and sums of
/// 32 terms stay small.
GDN_INLINE void lower_product(float *out, const float *a, const float *transposed, long rows, long inner) {
    for (long j = 0; j < rows; j += PANEL) {
        for (long i = j; i < rows; i += TILE) {
            float *to = out + j * CHUNK + i * PANEL;
            for (long p = 0; p < inner; p += PANEL) {
                tile t;
                tile_zero(&t);
                tile_add(&t, a + p * CHUNK + i * PANEL, transposed + j * inner + p * PANEL, PANEL);
                if (p > 0) tile_add_tile(&t, to);
                tile_store(&t, to);
            }
        }
    }
}

#endif
