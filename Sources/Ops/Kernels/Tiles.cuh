// Stands before every operation's kernels: asynchronous copies to shared memory, matrix tiles.

// --- Asynchronous copies to shared memory (sm_80) ----------------------------------------------------------------

DEVICE u32 shared_address(const void *pointer) { return (u32)__cvta_generic_to_shared(pointer); }

// 16 bytes; zeros where `valid` is false (nothing is read then).
DEVICE void copy_async(void *to, const void *from, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
}
// The same for 4 or 8 bytes.
template <int BYTES>
DEVICE void copy_async_small(void *to, const void *from, bool valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(valid ? BYTES : 0), "n"(BYTES)
                 : "memory");
}
DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING>
DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}
// Waits for copies that belong to no group yet, too.
DEVICE void copy_wait_all() {
    copy_commit();
    copy_wait<0>();
}

// Loads ROWS × COLUMNS elements into a tile of PITCH elements a row, by all THREADS threads of the block. Row i comes
// from `from + i * stride`; rows from `rows` on and columns from `columns` on become zero.
template <int ROWS, int COLUMNS, int PITCH, int THREADS, bool ALIGNED>
DEVICE void load_tile(element *tile, const element *from, i64 stride, int rows, int columns) {
    constexpr int PER = ALIGNED ? 16 / (int)sizeof(element) : 1;
    constexpr int ACROSS = COLUMNS / PER;
#pragma unroll 4
    for (int i = threadIdx.x; i < ROWS * ACROSS; i += THREADS) {
        int row = i / ACROSS, column = i % ACROSS * PER;
        bool valid = row < rows && column < columns;
        const element *source = valid ? from + row * stride + column : from;
        if (ALIGNED) {
            copy_async(tile + row * PITCH + column, source, valid);
        } else {
            tile[row * PITCH + column] = valid ? *source : (element)0;
        }
    }
}

// --- Matrix tiles ------------------------------------------------------------------------------------------------
//
// One warp multiplies 16×16 by 16×8 tiles. With g = lane / 4 and t = lane % 4, a thread holds of the accumulator
// C (16×8): rows g and g+8, columns 2t and 2t+1. Two accumulators side by side hold exactly what operand A (16×16)
// wants, so that a result can be the left operand of the next product without leaving registers.
//
// For bfloat16 the product is one tensor core instruction. For float32 the same fragments hold floats and the product
// is done by shuffles and FMAs: full float32 accuracy from the same kernel text.

struct Accumulator {
    float at[4];
};

DEVICE int lane_id() { return threadIdx.x & 31; }

DEVICE void clear(Accumulator &c) { c.at[0] = c.at[1] = c.at[2] = c.at[3] = 0; }

#if ELEMENT_BFLOAT16

struct FragmentA {
    u32 at[4];
};
struct FragmentB {
    u32 at[2];
};

DEVICE void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c.at[0]), "+f"(c.at[1]), "+f"(c.at[2]), "+f"(c.at[3])
                 : "r"(a.at[0]), "r"(a.at[1]), "r"(a.at[2]), "r"(a.at[3]), "r"(b.at[0]), "r"(b.at[1]));
}

// Columns 0–7 and 8–15 of A from two accumulators.
DEVICE FragmentA as_operand(const Accumulator &left, const Accumulator &right) {
    return {pack(left.at[0], left.at[1]), pack(left.at[2], left.at[3]), pack(right.at[0], right.at[1]),
            pack(right.at[2], right.at[3])};
}

DEVICE void load_matrices(u32 &r0, u32 &r1, u32 &r2, u32 &r3, const element *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrices_transposed(u32 &r0, u32 &r1, u32 &r2, u32 &r3, const element *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r0), "=r"(r1), "=r"(r2), "=r"(r3)
                 : "r"(shared_address(row))
                 : "memory");
}

// A (m16 × k16) at (row, column) of a tile stored [m][k].
template <int PITCH>
DEVICE FragmentA load_a(const element *tile, int row, int column) {
    int lane = lane_id();
    FragmentA a;
    load_matrices(a.at[0], a.at[1], a.at[2], a.at[3],
                  tile + (row + (lane & 15)) * PITCH + column + (lane >> 4) * 8);
    return a;
}
// A (m16 × k16) of a tile stored [k][m].
template <int PITCH>
DEVICE FragmentA load_a_transposed(const element *tile, int m, int k) {
    int lane = lane_id();
    FragmentA a;
    load_matrices_transposed(a.at[0], a.at[1], a.at[2], a.at[3],
                             tile + (k + (lane & 7) + (lane >> 4) * 8) * PITCH + m + ((lane >> 3) & 1) * 8);
    return a;
}
// Two B (k16 × n8) next to each other in n, of a tile stored [n][k].
template <int PITCH>
DEVICE void load_b(FragmentB &b0, FragmentB &b1, const element *tile, int n, int k) {
    int lane = lane_id();
    load_matrices(b0.at[0], b0.at[1], b1.at[0], b1.at[1],
                  tile + (n + (lane & 7) + (lane >> 4) * 8) * PITCH + k + ((lane >> 3) & 1) * 8);
}
// Two B (k16 × n8) next to each other in n, of a tile stored [k][n].
template <int PITCH>
DEVICE void load_b_transposed(FragmentB &b0, FragmentB &b1, const element *tile, int n, int k) {
    int lane = lane_id();
    load_matrices_transposed(b0.at[0], b0.at[1], b1.at[0], b1.at[1],
                             tile + (k + (lane & 15)) * PITCH + n + (lane >> 4) * 8);
}

// The numbers of A, as the two accumulators that as_operand would take.
DEVICE void unpack(Accumulator &left, Accumulator &right, const FragmentA &a) {
    left.at[0] = low_half(a.at[0]), left.at[1] = high_half(a.at[0]);
    left.at[2] = low_half(a.at[1]), left.at[3] = high_half(a.at[1]);
    right.at[0] = low_half(a.at[2]), right.at[1] = high_half(a.at[2]);
    right.at[2] = low_half(a.at[3]), right.at[3] = high_half(a.at[3]);
}

// Stores two neighbours, as far as they are within `columns`.
template <bool PAIRS>
DEVICE void store_pair(element *to, u32 packed, int columns) {
    if (PAIRS) {
        if (columns > 0) *(u32 *)to = packed;
    } else {
        if (columns > 0) to[0] = (element)packed;
        if (columns > 1) to[1] = (element)(packed >> 16);
    }
}

DEVICE u32 transposed_8x8(u32 matrix) {
    u32 result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(matrix));
    return result;
}

// Stores Cᵀ: element (m, n) of C goes to `to[n * stride + m]`, where n < rows and m < columns. PAIRS: stride, columns
// and the address are even.
template <bool PAIRS>
DEVICE void store_transposed(element *to, i64 stride, const Accumulator &c, int rows, int columns) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    u32 upper = transposed_8x8(pack(c.at[0], c.at[1])), lower = transposed_8x8(pack(c.at[2], c.at[3]));
    if (g < rows) {
        store_pair<PAIRS>(to + g * stride + 2 * t, upper, columns - 2 * t);
        store_pair<PAIRS>(to + g * stride + 2 * t + 8, lower, columns - 2 * t - 8);
    }
}

#else

struct FragmentA {
    float at[8];
};
struct FragmentB {
    float at[4];
};

// A: columns 2t, 2t+1, 2t+8, 2t+9 of rows g (at 0,1,4,5) and g+8 (at 2,3,6,7). B: rows 2t, 2t+1, 2t+8, 2t+9, column g.
// A function of its own: kernels multiply hundreds of times, and inlined this took minutes to compile.
static __device__ __noinline__ float4 multiply_call(float4 c, float4 a_low, float4 a_high, float4 b) {
    int lane = lane_id(), row = lane & ~3, column = (lane & 3) * 8;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float4 a = half ? a_high : a_low;
        float b_even = half ? b.z : b.x, b_odd = half ? b.w : b.y;
#pragma unroll
        for (int owner = 0; owner < 4; owner++) {
            float a0 = __shfl_sync(FULL_MASK, a.x, row + owner), a1 = __shfl_sync(FULL_MASK, a.z, row + owner);
            float b0 = __shfl_sync(FULL_MASK, b_even, column + owner);
            float b1 = __shfl_sync(FULL_MASK, b_even, column + 4 + owner);
            c.x += a0 * b0, c.y += a0 * b1, c.z += a1 * b0, c.w += a1 * b1;
            a0 = __shfl_sync(FULL_MASK, a.y, row + owner), a1 = __shfl_sync(FULL_MASK, a.w, row + owner);
            b0 = __shfl_sync(FULL_MASK, b_odd, column + owner);
            b1 = __shfl_sync(FULL_MASK, b_odd, column + 4 + owner);
            c.x += a0 * b0, c.y += a0 * b1, c.z += a1 * b0, c.w += a1 * b1;
        }
    }
    return c;
}
DEVICE void multiply(Accumulator &c, const FragmentA &a, const FragmentB &b) {
    float4 sum = multiply_call(make_float4(c.at[0], c.at[1], c.at[2], c.at[3]),
                               make_float4(a.at[0], a.at[1], a.at[2], a.at[3]),
                               make_float4(a.at[4], a.at[5], a.at[6], a.at[7]),
                               make_float4(b.at[0], b.at[1], b.at[2], b.at[3]));
    c.at[0] = sum.x, c.at[1] = sum.y, c.at[2] = sum.z, c.at[3] = sum.w;
}

DEVICE FragmentA as_operand(const Accumulator &left, const Accumulator &right) {
    return {left.at[0],  left.at[1],  left.at[2],  left.at[3],
            right.at[0], right.at[1], right.at[2], right.at[3]};
}

template <int PITCH>
DEVICE FragmentA load_a(const element *tile, int row, int column) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    FragmentA a;
#pragma unroll
    for (int i = 0; i < 8; i++)
        a.at[i] = tile[(row + g + (i >> 1 & 1) * 8) * PITCH + column + 2 * t + (i & 1) + (i >> 2) * 8];
    return a;
}
template <int PITCH>
DEVICE FragmentA load_a_transposed(const element *tile, int m, int k) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    FragmentA a;
#pragma unroll
    for (int i = 0; i < 8; i++)
        a.at[i] = tile[(k + 2 * t + (i & 1) + (i >> 2) * 8) * PITCH + m + g + (i >> 1 & 1) * 8];
    return a;
}
template <int PITCH>
DEVICE void load_b(FragmentB &b0, FragmentB &b1, const element *tile, int n, int k) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int at = k + 2 * t + (i & 1) + (i >> 1) * 8;
        b0.at[i] = tile[(n + g) * PITCH + at];
        b1.at[i] = tile[(n + 8 + g) * PITCH + at];
    }
}
template <int PITCH>
DEVICE void load_b_transposed(FragmentB &b0, FragmentB &b1, const element *tile, int n, int k) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int at = k + 2 * t + (i & 1) + (i >> 1) * 8;
        b0.at[i] = tile[at * PITCH + n + g];
        b1.at[i] = tile[at * PITCH + n + 8 + g];
    }
}

DEVICE void unpack(Accumulator &left, Accumulator &right, const FragmentA &a) {
#pragma unroll
    for (int i = 0; i < 4; i++) left.at[i] = a.at[i], right.at[i] = a.at[4 + i];
}

template <bool PAIRS>
DEVICE void store_transposed(element *to, i64 stride, const Accumulator &c, int rows, int columns) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int m = g + (i >> 1) * 8, n = 2 * t + (i & 1);
        if (n < rows && m < columns) to[n * stride + m] = c.at[i];
    }
}

#endif

// Stores C: element (m, n) of C goes to `to[m * stride + n]`, where m < rows and n < columns.
template <bool PAIRS>
DEVICE void store_rows(element *to, i64 stride, const Accumulator &c, int rows, int columns) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int m = g + half * 8;
        if (m >= rows) continue;
        element *row = to + m * stride + 2 * t;
#if ELEMENT_BFLOAT16
        store_pair<PAIRS>(row, pack(c.at[2 * half], c.at[2 * half + 1]), columns - 2 * t);
#else
        if (2 * t < columns) row[0] = c.at[2 * half];
        if (2 * t + 1 < columns) row[1] = c.at[2 * half + 1];
#endif
    }
}

// Four lanes hold two columns each of a row of an accumulator: 4 bytes of bfloat16 a store, half a sector a row. With the
// words of four rows of eight columns exchanged, a lane has a whole one, 16 bytes.
#if ELEMENT_BFLOAT16
// Of two words of this lane and of the lane `bit` away: the lower lane gets both first ones, the other both second ones.
DEVICE void exchange_words(u32 &first, u32 &second, int bit) {
    bool upper = lane_id() & bit;
    u32 other = __shfl_xor_sync(FULL_MASK, upper ? first : second, bit);
    if (upper) first = other; else second = other;
}
// Lane t of four gets word t of each of them, in their order.
DEVICE uint4 exchange_four(u32 a, u32 b, u32 c, u32 d) {
    exchange_words(a, b, 1);
    exchange_words(c, d, 1);
    exchange_words(a, c, 2);
    exchange_words(b, d, 2);
    return make_uint4(a, b, c, d);
}
#endif

// store_rows of four accumulators side by side. ALIGNED: rows begin at multiples of 16 bytes, columns come in eights.
template <bool ALIGNED, bool PAIRS>
DEVICE void store_four_rows(element *to, i64 stride, const Accumulator *c, int rows, int columns) {
#if ELEMENT_BFLOAT16
    if (ALIGNED) {
        int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            u32 word[4];
#pragma unroll
            for (int i = 0; i < 4; i++) word[i] = pack(c[i].at[2 * half], c[i].at[2 * half + 1]);
            uint4 row = exchange_four(word[0], word[1], word[2], word[3]);
            int m = g + half * 8;
            if (m < rows && t * 8 < columns) *(uint4 *)(to + m * stride + t * 8) = row;
        }
        return;
    }
#endif
#pragma unroll
    for (int i = 0; i < 4; i++) store_rows<PAIRS>(to + i * 8, stride, c[i], rows, columns - i * 8);
}
