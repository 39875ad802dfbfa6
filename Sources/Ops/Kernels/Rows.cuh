// Stands before every operation's kernels: rows, divided among threads.
//
// Kernels over rows give WIDTH (elements a row), GROUP threads a row (a power of two: up to 32 within a warp, above
// that a whole block) and BLOCK_THREADS a block. A thread holds PER_THREAD vectors of its row in registers.

#ifdef WIDTH
constexpr int ROW_VECTORS = WIDTH / VECTOR;
constexpr int PER_THREAD = (ROW_VECTORS + GROUP - 1) / GROUP;
constexpr int BLOCK_ROWS = BLOCK_THREADS / GROUP;
// Blocks a multiprocessor that kernels with sums over rows leave registers for: 16 warps, where rows go by vectors of
// bfloat16 and are packed on their way. Other forms need more registers, and no speed.
constexpr int SUMMING_BLOCKS = sizeof(element) == 2 && VECTOR > 1 ? 512 / BLOCK_THREADS : 1;

struct RowPart {
    Floats<VECTOR> at[PER_THREAD];
};

// Zeros where the row has no such elements, or is not `active`.
template <typename T>
DEVICE void load_row(RowPart &part, const T *row, bool active) {
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int vector = i * GROUP + threadIdx.x % GROUP;
        if (active && vector < ROW_VECTORS) {
            load_vector(part.at[i], row + vector * VECTOR);
        } else {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) part.at[i].at[j] = 0;
        }
    }
}
template <typename T>
DEVICE void store_row(T *row, const RowPart &part, bool active) {
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int vector = i * GROUP + threadIdx.x % GROUP;
        if (active && vector < ROW_VECTORS) store_vector(row + vector * VECTOR, part.at[i]);
    }
}

// A part of a row as it lies in memory: loads that are under way while another row is computed with.
struct PackedPart {
    Packed<element, VECTOR> at[PER_THREAD];
};
DEVICE void fetch_row(PackedPart &part, const element *row, bool active) {
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) {
        int vector = i * GROUP + threadIdx.x % GROUP;
        part.at[i] = {};
        if (active && vector < ROW_VECTORS) part.at[i] = fetch<VECTOR>(row + vector * VECTOR);
    }
}
DEVICE void widen_row(RowPart &to, const PackedPart &from) {
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++) to.at[i] = widen(from.at[i]);
}

#define EACH_ELEMENT(i, j)                                                                                             \
    _Pragma("unroll") for (int i = 0; i < PER_THREAD; i++) _Pragma("unroll") for (int j = 0; j < VECTOR; j++)

// Sum over the threads of a row; each of them receives it.
DEVICE float row_sum(float x) {
    if (GROUP <= 32) {
#pragma unroll
        for (int step = GROUP / 2; step > 0; step >>= 1) x += __shfl_xor_sync(FULL_MASK, x, step);
        return x;
    }
    __shared__ float sums[GROUP > 32 ? GROUP / 32 : 1];
    return block_sum<(GROUP > 32 ? GROUP / 32 : 1)>(x, sums);
}
DEVICE float row_max(float x) {
    if (GROUP <= 32) {
#pragma unroll
        for (int step = GROUP / 2; step > 0; step >>= 1) x = fmaxf(x, __shfl_xor_sync(FULL_MASK, x, step));
        return x;
    }
    __shared__ float maxima[GROUP > 32 ? GROUP / 32 : 1];
    x = warp_max(x);
    __syncthreads();
    if ((threadIdx.x & 31) == 0) maxima[threadIdx.x >> 5] = x;
    __syncthreads();
    for (int warp = 0; warp < GROUP / 32; warp++) x = fmaxf(x, maxima[warp]);
    return x;
}

// Adds what the rows of a block gathered per column, in order, and writes it to `partial` [WIDTH].
DEVICE void store_column_sums(float *partial, const RowPart &sums) {
    if (BLOCK_ROWS == 1) return store_row(partial, sums, true);
    extern __shared__ __align__(16) float gathered[];
    store_row(gathered + threadIdx.x / GROUP * WIDTH, sums, true);
    __syncthreads();
    for (int column = threadIdx.x; column < WIDTH; column += BLOCK_THREADS) {
        float sum = 0;
        for (int row = 0; row < BLOCK_ROWS; row++) sum += gathered[row * WIDTH + column];
        partial[column] = sum;
    }
}
#endif
