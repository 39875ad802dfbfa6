// Products of 5 to 64 rows with weights that are read once: y[b, r] = Σ_i x[b, i] W[r, i], in bfloat16.
//
// A block takes WEIGHT_ROWS rows of W and SLICE columns; its eight warps take steps of 32 columns in turn, each for all rows. The
// sequences are rows of operand A, TILES times 16, eight rows of W are operand B. A thread copies 16 bytes of each of its rows of
// W and of x into a ring of its own, STAGES steps ahead, and reads only what it copied itself, so warps run freely. Sums of
// the warps meet in shared memory in a fixed order.
//
// x is too large for a multiprocessor's shared memory; every block reads its columns of it from the level-2 cache, once.
//
// Macros: INPUTS columns of W, SLICE (a multiple of 32), WEIGHT_ROWS (a multiple of 8), TILES, STAGES (at most the steps of a warp).
// Dynamic shared memory: the larger of STAGES · THREADS · 16 · (WEIGHT_ROWS / 8 + 2 TILES) and 4 · WARPS · 16 TILES · PITCH.

// --- Wide product ------------------------------------------------------------------------------------------------

constexpr int WARPS = 8, THREADS = 32 * WARPS;
constexpr int PIECES = WEIGHT_ROWS / 8 + 2 * TILES;
constexpr int STEPS = (SLICE + 32 * WARPS - 1) / (32 * WARPS);
// Rows of sums are 8 or 24 banks apart.
constexpr int PITCH = WEIGHT_ROWS % 16 == 8 ? WEIGHT_ROWS : WEIGHT_ROWS + 8;

struct WideProduct {
    uint4 *ring;
    float *sums;
    // This thread's row of the block's first eight of W, how far the same one of the next eight is, how many there are.
    const element *weights;
    i64 distance;
    int units;
    // This thread's first row of x.
    const element *x;
    int batch;
    int warp, group, column, end;

    DEVICE WideProduct(const element *weights, i64 distance, int units, const element *x, int batch, int slice) {
        extern __shared__ __align__(128) unsigned char memory[];
        int lane = lane_id();
        ring = (uint4 *)memory + threadIdx.x, sums = (float *)memory;
        warp = threadIdx.x >> 5, group = lane >> 2;
        column = slice * SLICE + warp * 32 + (lane & 3) * 8;
        end = (slice + 1) * SLICE < INPUTS ? (slice + 1) * SLICE : INPUTS;
        this->weights = weights, this->distance = distance, this->units = units;
        this->x = x + (i64)group * INPUTS, this->batch = batch;
    }

    // Blocks begin at different columns, so that they do not ask for the same part of x at the same time.
    DEVICE int place(int step) const { return column + (step + (int)blockIdx.x) % STEPS * 32 * WARPS; }

    DEVICE void fetch_weights(int step) {
        uint4 *to = ring + step % STAGES * PIECES * THREADS;
        int at = place(step);
#pragma unroll
        for (int j = 0; j < WEIGHT_ROWS / 8; j++) copy_async(to + j * THREADS, weights + j * distance + at, at < end && j < units);
    }
    DEVICE void fetch_x(int step) {
        uint4 *to = ring + (step % STAGES * PIECES + WEIGHT_ROWS / 8) * THREADS;
        int at = place(step);
#pragma unroll
        for (int i = 0; i < 2 * TILES; i++)
            copy_async(to + i * THREADS, x + i * 8 * INPUTS + at, at < end && i * 8 + group < batch);
    }

    // Everything; `sum` has the results afterwards. The first step's weights are on their way before the kernel before is
    // waited for; with more of them its x would come behind them all.
    DEVICE void run() {
        Accumulator own[TILES][WEIGHT_ROWS / 8];
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
#pragma unroll
            for (int j = 0; j < WEIGHT_ROWS / 8; j++) clear(own[tile][j]);
        fetch_weights(0);
        let_next_kernel_start();
        wait_for_kernel_before();
#pragma unroll
        for (int step = 0; step < STAGES; step++) {
            if (step > 0) fetch_weights(step);
            fetch_x(step);
            copy_commit();
        }
#pragma unroll 1
        for (int step = 0; step < STEPS; step++) {
            copy_wait<STAGES - 1>();
            const uint4 *from = ring + step % STAGES * PIECES * THREADS;
            uint4 low[TILES], high[TILES];
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                low[tile] = from[(WEIGHT_ROWS / 8 + 2 * tile) * THREADS];
                high[tile] = from[(WEIGHT_ROWS / 8 + 2 * tile + 1) * THREADS];
            }
#pragma unroll
            for (int j = 0; j < WEIGHT_ROWS / 8; j++) {
                uint4 w = from[j * THREADS];
#pragma unroll
                for (int tile = 0; tile < TILES; tile++)
                    multiply(own[tile][j], FragmentA{low[tile].x, high[tile].x, low[tile].y, high[tile].y},
                             FragmentB{w.x, w.y});
#pragma unroll
                for (int tile = 0; tile < TILES; tile++)
                    multiply(own[tile][j], FragmentA{low[tile].z, high[tile].z, low[tile].w, high[tile].w},
                             FragmentB{w.z, w.w});
            }
            if (step + STAGES < STEPS) fetch_weights(step + STAGES), fetch_x(step + STAGES);
            copy_commit();
        }
        copy_wait<0>();
        __syncthreads();
        float *to = sums + (warp * 16 * TILES + group) * PITCH + 2 * (lane_id() & 3);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
#pragma unroll
            for (int j = 0; j < WEIGHT_ROWS / 8; j++) {
                const Accumulator &c = own[tile][j];
                *(float2 *)(to + tile * 16 * PITCH + j * 8) = make_float2(c.at[0], c.at[1]);
                *(float2 *)(to + (tile * 16 + 8) * PITCH + j * 8) = make_float2(c.at[2], c.at[3]);
            }
        __syncthreads();
    }

    // y[b, row], row of the block's.
    DEVICE float sum(int b, int row) const {
        float total = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) total += sums[(w * 16 * TILES + b) * PITCH + row];
        return total;
    }
};

// The block's rows of one matrix [count, INPUTS], from `first` on.
DEVICE WideProduct of_one_matrix(const element *weight, int count, int first, const element *x, int batch, int slice) {
    int row = first + (lane_id() >> 2);
    return WideProduct(weight + (i64)row * INPUTS, 8 * INPUTS, (count - row + 7) / 8, x, batch, slice);
}
