// Products of a few rows with weights that are read once, as they lie in memory: y[b, r] = Σ_i x[b, i] W[r, i].
//
// Bound by the stream of weights. A unit is 8 rows of W; a block takes units blockIdx.x, + gridDim.x, …, and its warps
// divide the columns. Every thread has its own ring in shared memory: it copies 16 bytes of one row per stage, RING_STAGES − 1
// stages ahead, reads only what it copied itself, and so needs no barrier. Nothing of it depends on the kernel before:
// the ring is filled before that one is waited for. Sums of the warps meet in shared memory once a round of UNITS units.
//
// Macros: INPUTS columns, BATCH rows of x (at most 8, or 16), BLOCK_WARPS, RING_STAGES, UNITS; element type as in the prelude.
//
// Order of columns within a step is the hardware's but for a permutation that x and W share: thread t of a quad holds
// neighbours, 16 bytes of them, in both.

// --- Streamed product --------------------------------------------------------------------------------------------

constexpr int THREADS = BLOCK_WARPS * 32;
// Registers leave room for the blocks of the next kernels, whose first weights are then on their way.
constexpr int MIN_BLOCKS = (BATCH <= 2 ? 768 : 512) / THREADS;
constexpr int PIECE = 16 / (int)sizeof(element); // elements a thread copies at a time
constexpr int STEP = 4 * PIECE;                  // columns of a stage
constexpr int STEPS = (INPUTS + STEP - 1) / STEP;
// Rows of x in shared memory are an odd number of 64-byte pieces apart: no two rows of a load share a bank.
constexpr int X_PITCH = (STEPS | 1) * STEP;
constexpr int RING_BYTES = RING_STAGES * THREADS * 16;
constexpr int X_BYTES = (BATCH * X_PITCH * (int)sizeof(element) + 15) / 16 * 16;
// Dynamic shared memory: RING_BYTES + X_BYTES + 4 · UNITS · BLOCK_WARPS · BATCH · 8 bytes.

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
    int units, warp, lane, begin, end;
    // The next piece to copy.
    int next_unit, next_step, next_stage;
    const element *next_row;
    int stage;

    DEVICE Product(const Rows &rows, int units, const Shared &shared) : rows(rows), shared(shared), units(units) {
        warp = threadIdx.x >> 5, lane = lane_id();
        begin = warp * STEPS / BLOCK_WARPS, end = (warp + 1) * STEPS / BLOCK_WARPS;
        next_unit = begin < end ? (int)blockIdx.x : units, next_step = begin, next_stage = stage = 0;
        next_row = next_unit < units ? rows(next_unit, lane >> 2) : nullptr;
#pragma unroll 4
        for (int i = 0; i < RING_STAGES - 1; i++) fetch();
    }

    DEVICE Piece *slot(int stage) const { return shared.ring + (warp * RING_STAGES + stage) * 32 + lane; }

    // Copies the next piece; an empty group at the end, so that counting groups stays right.
    DEVICE void fetch() {
        if (next_unit < units) {
            int column = next_step * STEP + (lane & 3) * PIECE;
            bool valid = next_row && column < INPUTS;
            copy_async(slot(next_stage), valid ? next_row + column : rows.anything(), valid);
            if (++next_step == end) {
                next_step = begin, next_unit += gridDim.x;
                if (next_unit < units) next_row = rows(next_unit, lane >> 2);
            }
        }
        copy_commit();
        next_stage = next_stage + 1 == RING_STAGES ? 0 : next_stage + 1;
    }

    // Sums of up to UNITS units from `unit` on; returns how many. `sum` has them afterwards, for all threads.
    DEVICE int round(int unit) {
        int count = 0, g = lane >> 2, t = lane & 3;
        const element *low = shared.x + (g < BATCH ? g : BATCH - 1) * X_PITCH + t * PIECE;
        const element *high = shared.x + (BATCH > 8 ? g + 8 : 0) * X_PITCH + t * PIECE;
        for (; count < UNITS && unit < units; count++, unit += gridDim.x) {
            Accumulator even, odd;
            clear(even), clear(odd);
#pragma unroll 4
            for (int step = begin; step < end; step++) {
                copy_wait<RING_STAGES - 2>();
                Piece weights = *slot(stage), zero = {};
                fetch();
                stage = stage + 1 == RING_STAGES ? 0 : stage + 1;
                multiply_pieces(even, odd, *(const Piece *)(low + step * STEP),
                                BATCH > 8 ? *(const Piece *)(high + step * STEP) : zero, weights);
            }
            float *to = shared.sums + (count * BLOCK_WARPS + warp) * BATCH * 8 + 2 * t;
            if (g < BATCH) *(float2 *)(to + g * 8) = make_float2(even.at[0] + odd.at[0], even.at[1] + odd.at[1]);
            if (BATCH > 8) *(float2 *)(to + (g + 8) * 8) = make_float2(even.at[2] + odd.at[2], even.at[3] + odd.at[3]);
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
    constexpr int REST = STEPS * STEP - INPUTS;
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
