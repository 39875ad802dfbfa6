// Shared by the chunkwise kernels: tile sizes, the table of chunks, gate arrays, states between registers and memory.
//
// A chunk is CHUNK consecutive tokens of one sequence; the last one of a sequence may be shorter, its missing rows are
// zero. "Slot" = chunk · value heads + value head. Tensors of tokens are [tokens, heads, dim] over all sequences.
//
// A segment is a run of whole chunks of one sequence that one block walks through: all of them, or a part where there
// are too few sequences and heads to fill the device (`segments.cu`).
//
// KEY_DIM, VALUE_DIM, GROUPS (value heads a key head), VALUE_WARPS and STAGES are given at compile time, and ERASES: 0
// leaves the delta rule out (u = β v).

#ifndef ERASES
#define ERASES 1
#endif

constexpr int CHUNK = 64;
constexpr int PAD = 16 / (int)sizeof(element);  // shifts each tile row by 16 bytes: no bank conflicts in ldmatrix
constexpr int KEY_SPLITS = KEY_DIM > 256 ? 2 : 1;  // warps that share sixteen value columns, each with a part of the keys
constexpr int KEY_PART = (KEY_DIM + 16 * KEY_SPLITS - 1) / (16 * KEY_SPLITS) * 16;
constexpr int KEY_TILE = KEY_PART * KEY_SPLITS;
constexpr int KEY_PITCH = KEY_TILE + PAD;
constexpr int VALUE_TILE = 16 * VALUE_WARPS / KEY_SPLITS;  // value columns of one block
constexpr int VALUE_TILES = (VALUE_DIM + VALUE_TILE - 1) / VALUE_TILE;
constexpr int VALUE_PITCH = VALUE_TILE + PAD;
constexpr int CHUNK_PITCH = CHUNK + PAD;
constexpr int SCAN_THREADS = 32 * VALUE_WARPS;
constexpr bool KEY_ALIGNED = KEY_DIM * sizeof(element) % 16 == 0;
constexpr bool VALUE_ALIGNED = VALUE_DIM * sizeof(element) % 16 == 0;
constexpr bool KEY_PAIRS = KEY_DIM % 2 == 0;
constexpr bool VALUE_PAIRS = VALUE_DIM % 2 == 0;

// One entry of the table of chunks; rows 0 marks an entry that is not used.
struct Chunk {
    int token, rows, sequence, padding;
};

// Chunks [begin, end) of `sequence`; bit 0 of `place`: its first segment, bit 1: its last; −1 marks an entry not used.
struct Segment {
    int sequence, begin, end, place;
};
constexpr int FIRST_SEGMENT = 1, LAST_SEGMENT = 2;

// Per slot five arrays of CHUNK floats: b, what float32 leaves of it, e^b, e^(b_last − b), β. Sums of strong decays are
// in the hundreds while their differences matter to 1e-6: hence b in two floats.
constexpr int GATES = 5 * CHUNK;

DEVICE float exponential(float x) {
#if ELEMENT_BFLOAT16
    return __expf(x);
#else
    return expf(x);
#endif
}

// b of one row, in two floats.
struct Cumulative {
    float high, low;
};
DEVICE Cumulative cumulative_at(const float *cumulative, int row) { return {cumulative[row], cumulative[CHUNK + row]}; }

// G_ij = e^(b_i − b_j) for i ≥ j.
DEVICE float decay_between(Cumulative i, Cumulative j) { return exponential((i.high - j.high) + (i.low - j.low)); }

// The inverse of a chunk, G ⊙ A [CHUNK][CHUNK], is lower triangular with ones on its diagonal. In bfloat16 what rounding
// leaves of element (i, j) stands at (j, i), above the diagonal: nearly equal keys with β near 2 need both parts. These
// take, of the two right operands (k16 × n8) of a diagonal block, what belongs to one part.
#if ELEMENT_BFLOAT16
DEVICE u32 lower_pair(bool even, bool odd) { return (even ? 0xffffu : 0u) | (odd ? 0xffff0000u : 0u); }

// n ≥ k, or n > k for the rest: the transposed inverse as a right operand.
template <bool STRICT>
DEVICE void keep_columns_from_diagonal(FragmentB &b0, FragmentB &b1) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    u32 mask = lower_pair(STRICT ? g > 2 * t : g >= 2 * t, STRICT ? g > 2 * t + 1 : g >= 2 * t + 1);
    b0.at[0] &= mask, b0.at[1] = 0;
    b1.at[1] &= mask;
}
// k ≥ n: the inverse itself as a right operand.
DEVICE void keep_rows_from_diagonal(FragmentB &b0, FragmentB &b1) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    u32 mask = lower_pair(2 * t >= g, 2 * t + 1 >= g);
    b0.at[0] &= mask;
    b1.at[0] = 0, b1.at[1] &= mask;
}
#endif

// β as the operation takes it: below `least` it counts as that. NaN stays what it is.
DEVICE float write_strength(float beta, float least) { return beta < least ? least : beta; }

DEVICE const float *gate_decay(const float *gates) { return gates + 2 * CHUNK; }
DEVICE const float *gate_rest(const float *gates) { return gates + 3 * CHUNK; }
DEVICE const float *gate_strength(const float *gates) { return gates + 4 * CHUNK; }

// Where this warp's key dims and value columns begin in the block's tiles.
DEVICE int first_key() { return KEY_SPLITS > 1 ? (threadIdx.x >> 5) % KEY_SPLITS * KEY_PART : 0; }
DEVICE int first_column() { return (threadIdx.x >> 5) / KEY_SPLITS * 16; }

// Sᵀ of one warp: 16 value columns as rows, its key dims as columns.
struct State {
    Accumulator at[KEY_PART / 8];
};

// From `state` [K, width] in float32, column `column` on; zero where null or outside.
DEVICE void load_state(State &s, const float *state, int column, int width = VALUE_DIM) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int n = 0; n < KEY_PART / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int key = first_key() + n * 8 + 2 * t + (i & 1), value = column + g + (i >> 1) * 8;
            bool inside = state && key < KEY_DIM && value < width;
            s.at[n].at[i] = inside ? state[key * width + value] : 0.0f;
        }
}

// To `state` [K, width] in float32.
DEVICE void store_state(const State &s, float *state, int column, int width = VALUE_DIM) {
    int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
    for (int n = 0; n < KEY_PART / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int key = first_key() + n * 8 + 2 * t + (i & 1), value = column + g + (i >> 1) * 8;
            if (key < KEY_DIM && value < width) state[key * width + value] = s.at[n].at[i];
        }
}

// To scratch [V, K] as elements: what the gradient kernel multiplies with.
DEVICE void store_scratch_state(const State &s, element *state, int column) {
    element *to = state + (i64)column * KEY_DIM + first_key();
    int rows = VALUE_DIM - column, columns = KEY_DIM - first_key();
    constexpr int FOURS = KEY_PART / 32 * 4;
#pragma unroll
    for (int n = 0; n < FOURS; n += 4)
        store_four_rows<KEY_ALIGNED, KEY_PAIRS>(to + n * 8, KEY_DIM, s.at + n, rows, columns - n * 8);
#pragma unroll
    for (int n = FOURS; n < KEY_PART / 8; n++)
        store_rows<KEY_PAIRS>(to + n * 8, KEY_DIM, s.at[n], rows, columns - n * 8);
}

DEVICE void scale_state(State &s, float factor) {
#pragma unroll
    for (int n = 0; n < KEY_PART / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) s.at[n].at[i] *= factor;
}

// Multiplies columns n·8 … n·8+7 of a tile by a factor each (rows of the chunk are columns of the transposed tiles).
DEVICE void scale_columns(Accumulator &c, const float *factors, int n) {
    float2 f = *(const float2 *)(factors + n * 8 + 2 * (lane_id() & 3));
    c.at[0] *= f.x, c.at[1] *= f.y, c.at[2] *= f.x, c.at[3] *= f.y;
}

DEVICE void load_gates(float *tile, const float *gates) {
    for (int i = threadIdx.x; i < GATES / 4; i += SCAN_THREADS) copy_async(tile + i * 4, gates + i * 4, true);
}
