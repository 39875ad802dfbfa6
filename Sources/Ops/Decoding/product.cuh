// Products of a few rows with weights that are read once, as they lie in memory: y[b, r] = Σ_i x[b, i] W[r, i].
//
// Bound by the stream of weights. A unit is 8 rows of W; a block takes units blockIdx.x, + gridDim.x, …. A portion is 8 rows
// of 256 bytes, a thread's share of it four pieces of 16; the portions of a unit go to the warps in turn. Every thread has
// its own ring of RING_PORTIONS shares in shared memory, filled that far ahead by asynchronous copies. It reads only what it
// copied itself and so needs no barrier, and the ring is filled before the kernel before is waited for. Sums of the warps
// meet in shared memory once a round of UNITS units.
//
// Macros: INPUTS columns, BATCH rows of x (at most 8, or 16), BLOCK_WARPS, RING_PORTIONS, UNITS; element type as in the
// prelude. Dynamic shared memory: RING_BYTES + X_BYTES + 4 · UNITS · BLOCK_WARPS · BATCH · 8 bytes.
//
// Order of columns within a step is the hardware's but for a permutation that x and W share: thread t of a quad holds
// neighbours, 16 bytes of them, in both.

// --- Streamed product --------------------------------------------------------------------------------------------

constexpr int THREADS = BLOCK_WARPS * 32;
// Registers leave room for the blocks of the next kernels, whose first weights are then on their way. Above four rows x
// fills the shared memory and there is room for one; in float32 registers run out at three.
constexpr int MIN_BLOCKS = BATCH <= 2 ? 768 / THREADS : BATCH <= 4 && sizeof(element) == 2 ? 512 / THREADS : 1;
constexpr int PIECE = 16 / (int)sizeof(element); // elements a thread copies at a time
constexpr int STEP = 4 * PIECE;                  // columns of a product on the matrix units, or two
constexpr int SHARE = 4;                         // steps of a portion, pieces of a thread
constexpr int PORTIONS = (INPUTS + SHARE * STEP - 1) / (SHARE * STEP);
// Rows of x in shared memory are an odd number of 64-byte pieces apart: no two rows of a load share a bank.
constexpr int X_PITCH = (PORTIONS * SHARE | 1) * STEP;
constexpr int RING_BYTES = RING_PORTIONS * SHARE * THREADS * 16;
constexpr int X_BYTES = (BATCH * X_PITCH * (int)sizeof(element) + 15) / 16 * 16;

struct __align__(16) Piece {
    element at[PIECE];
};

struct Shared {
    Piece *ring;
    element *x;
    float *sums;
};
DEVICE Shared shared_memory() {
    extern __shared__ __align__(128) unsigned char memory[];
    return {(Piece *)memory, (element *)(memory + RING_BYTES), (float *)(memory + RING_BYTES + X_BYTES)};
}

DEVICE void multiply_pieces(Accumulator &even, Accumulator &odd, const Piece &low_rows, const Piece &high_rows,
                            const Piece &weights) {
#if ELEMENT_BFLOAT16
    const uint4 &x = (const uint4 &)low_rows, &z = (const uint4 &)high_rows, &w = (const uint4 &)weights;
    multiply(even, FragmentA{x.x, z.x, x.y, z.y}, FragmentB{w.x, w.y});
    multiply(odd, FragmentA{x.z, z.z, x.w, z.w}, FragmentB{w.z, w.w});
#else
    const float4 &x = (const float4 &)low_rows, &z = (const float4 &)high_rows, &w = (const float4 &)weights;
    multiply(even, FragmentA{x.x, x.y, z.x, z.y, x.z, x.w, z.z, z.w}, FragmentB{w.x, w.y, w.z, w.w});
#endif
}

// `Rows` says where row `row` (0 to 7) of a unit lies: null where there is none.
template <typename Rows>
struct Product {
    const Rows &rows;
    Shared shared;
    int units, warp, lane;
    // The next share to copy: unit, portion, where this thread's first piece of it lies, and whether it is there.
    int next_unit, next_portion;
    const element *next;
    bool next_exists;
    // Where the oldest share lies, whose place the next one takes.
    Piece *share;

    DEVICE Product(const Rows &rows, int units, const Shared &shared) : rows(rows), shared(shared), units(units) {
        warp = threadIdx.x >> 5, lane = lane_id();
        share = shared.ring + threadIdx.x;
        // A warp without a portion of any unit copies nothing.
        next_unit = warp < PORTIONS ? (int)blockIdx.x : units;
        begin_unit();
#pragma unroll 1
        for (int i = 0; i < RING_PORTIONS; i++) fetch();
    }

    DEVICE void begin_unit() {
        if (next_unit >= units) return;
        const element *row = rows(next_unit, lane >> 2);
        next_exists = row != nullptr, next_portion = warp;
        next = (next_exists ? row : rows.anything()) + warp * SHARE * STEP + (lane & 3) * PIECE;
    }

    // Copies the next share to the oldest one's place; an empty group at the end, so that counting groups stays right.
    DEVICE void fetch() {
        if (next_unit < units) {
            int columns = INPUTS - next_portion * SHARE * STEP - (lane & 3) * PIECE;
#pragma unroll
            for (int i = 0; i < SHARE; i++)
                copy_async(share + i * THREADS, next + i * STEP,
                           next_exists && (INPUTS % (SHARE * STEP) == 0 || i * STEP < columns));
            next_portion += BLOCK_WARPS, next += BLOCK_WARPS * SHARE * STEP;
            if (next_portion >= PORTIONS) {
                next_unit += gridDim.x;
                begin_unit();
            }
        }
        copy_commit();
        share = share == shared.ring + (RING_PORTIONS - 1) * SHARE * THREADS + threadIdx.x ? shared.ring + threadIdx.x
                                                                                            : share + SHARE * THREADS;
    }

    // Sums of up to UNITS units from `unit` on; returns how many. `sum` has them afterwards, for all threads.
    DEVICE int round(int unit) {
        int count = 0, g = lane >> 2, t = lane & 3;
        const element *low = shared.x + (g < BATCH ? g : BATCH - 1) * X_PITCH + t * PIECE;
        const element *high = shared.x + (BATCH > 8 ? g + 8 : 0) * X_PITCH + t * PIECE;
        for (; count < UNITS && unit < units; count++, unit += gridDim.x) {
            Accumulator sums[4];
#pragma unroll
            for (int i = 0; i < 4; i++) clear(sums[i]);
            for (int portion = warp; portion < PORTIONS; portion += BLOCK_WARPS) {
                copy_wait<RING_PORTIONS - 1>();
                int column = portion * SHARE * STEP;
                Piece zero = {};
#pragma unroll
                for (int i = 0; i < SHARE; i++)
                    multiply_pieces(sums[i % 2 * 2], sums[i % 2 * 2 + 1], *(const Piece *)(low + column + i * STEP),
                                    BATCH > 8 ? *(const Piece *)(high + column + i * STEP) : zero,
                                    share[i * THREADS]);
                fetch();
            }
            float *to = shared.sums + (count * BLOCK_WARPS + warp) * BATCH * 8 + 2 * t;
            float y[4];
#pragma unroll
            for (int i = 0; i < 4; i++) y[i] = (sums[0].at[i] + sums[1].at[i]) + (sums[2].at[i] + sums[3].at[i]);
            if (g < BATCH) *(float2 *)(to + g * 8) = make_float2(y[0], y[1]);
            if (BATCH > 8) *(float2 *)(to + (g + 8) * 8) = make_float2(y[2], y[3]);
        }
        __syncthreads();
        return count;
    }

    // Row `row` of the `index`-th unit of the round, times x[b].
    DEVICE float sum(int index, int b, int row) const {
        float total = 0;
#pragma unroll
        for (int w = 0; w < BLOCK_WARPS; w++) total += shared.sums[((index * BLOCK_WARPS + w) * BATCH + b) * 8 + row];
        return total;
    }
};

// --- What goes in ------------------------------------------------------------------------------------------------

// Zeros behind the rows of x, where the weights have zeros too.
DEVICE void clear_behind_rows(element *x) {
    constexpr int REST = PORTIONS * SHARE * STEP - INPUTS;
    for (int i = threadIdx.x; i < BATCH * REST; i += THREADS)
        x[i / (REST > 0 ? REST : 1) * X_PITCH + INPUTS + i % (REST > 0 ? REST : 1)] = 0;
}

// x[b, i] as it is.
DEVICE void load_plain(element *x, const element *from) {
    clear_behind_rows(x);
    constexpr int ACROSS = INPUTS / PIECE;
#pragma unroll 4
    for (int i = threadIdx.x; i < BATCH * ACROSS; i += THREADS)
        *(Piece *)(x + i / ACROSS * X_PITCH + i % ACROSS * PIECE) = ((const Piece *)from)[i];
    __syncthreads();
}

// x[b, i] = s[b, i] / rms(s[b]) · w[i]: a team of warps a row.
DEVICE void load_normalised(element *x, const float *stream, const float *weight, float eps) {
    constexpr int TEAM = BATCH == 1 ? BLOCK_WARPS : BATCH == 2 ? (BLOCK_WARPS + 1) / 2 : BATCH <= 4 ? (BLOCK_WARPS + 3) / 4 : 1;
    constexpr int TEAMS = BLOCK_WARPS / TEAM, VECTORS = INPUTS / 4, EACH = (VECTORS + TEAM * 32 - 1) / (TEAM * 32);
    __shared__ float squares[BLOCK_WARPS];
    clear_behind_rows(x);
    int warp = threadIdx.x >> 5, member = threadIdx.x % (TEAM * 32);
    for (int first = 0; first < BATCH; first += TEAMS) {
        int row = first + warp / TEAM;
        bool active = row < BATCH && warp < TEAM * TEAMS;
        float4 values[EACH], scale[EACH];
        float sum = 0;
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int vector = i * TEAM * 32 + member;
            bool inside = active && vector < VECTORS;
            values[i] = inside ? ((const float4 *)(stream + row * INPUTS))[vector] : make_float4(0, 0, 0, 0);
            if (TEAM > 1) scale[i] = inside ? ((const float4 *)weight)[vector] : values[i];
            sum += values[i].x * values[i].x + values[i].y * values[i].y + values[i].z * values[i].z
                 + values[i].w * values[i].w;
        }
        sum = warp_sum(sum);
        if (TEAM > 1) {
            if (first > 0) __syncthreads();
            if (lane_id() == 0) squares[warp] = sum;
            __syncthreads();
            sum = 0;
            for (int i = 0; i < TEAM; i++) sum += squares[warp / TEAM * TEAM + i];
        }
        float r = 1.0f / sqrtf(sum / INPUTS + eps);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            int vector = i * TEAM * 32 + member;
            if (!active || vector >= VECTORS) continue;
            float4 w = TEAM > 1 ? scale[i] : ((const float4 *)weight)[vector];
            Floats<4> y = {values[i].x * r * w.x, values[i].y * r * w.y, values[i].z * r * w.z, values[i].w * r * w.w};
            store_vector(x + row * X_PITCH + vector * 4, y);
        }
    }
    __syncthreads();
}

// --- Where it goes -----------------------------------------------------------------------------------------------

struct OneMatrix {
    const element *at;
    int count;
    DEVICE const element *operator()(int unit, int row) const {
        return unit * 8 + row < count ? at + (i64)(unit * 8 + row) * INPUTS : nullptr;
    }
    DEVICE const element *anything() const { return at; }
};

// s[b, r] += y[b, r]. What is added to is read while the product is under way. The kernel before has ended.
DEVICE void add_to_stream(Product<OneMatrix> &product, float *stream) {
    constexpr int OUTPUTS = (UNITS * 8 * BATCH + THREADS - 1) / THREADS;
    int units = product.units, count = product.rows.count;
    for (int first = blockIdx.x; first < units; first += UNITS * gridDim.x) {
        float *to[OUTPUTS], before[OUTPUTS];
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            int index = threadIdx.x + i * THREADS, unit = first + index / (8 * BATCH) * gridDim.x;
            int row = unit * 8 + index % 8;
            bool exists = index < UNITS * 8 * BATCH && row < count;
            to[i] = exists ? stream + (i64)(index / 8 % BATCH) * count + row : nullptr;
            before[i] = exists ? *to[i] : 0.0f;
        }
        product.round(first);
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            int index = threadIdx.x + i * THREADS;
            if (to[i]) *to[i] = before[i] + product.sum(index / (8 * BATCH), index / 8 % BATCH, index % 8);
        }
        __syncthreads();
    }
}
