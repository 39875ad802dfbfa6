// What the passes through time share (`forward_pass.cuh`, `backward_pass.cuh`). A block owns one segment of one sequence, one value head and VALUE_TILE value columns, a warp
// sixteen of them, and keeps Sᵀ [16 value columns × K] in registers from the first chunk to the last. Value columns never
// mix, so blocks and warps have nothing to tell each other. All tiles are transposed: rows of the chunk are columns, and
// factors per token (γ, ρ, β) are factors per column. An accumulator becomes the left operand of the next product in
// registers.
//
// Tiles of the next chunk are copied while this one is computed (STAGES 2); one barrier a chunk. Above K = 256 a state
// is shared by two warps, which exchange their sums over the keys. There the float32 form has room for one tile of keys
// only (ONE_KEY_TILE): k and q take turns in it.

// WARPGROUPS: 1 has the four warps of a warpgroup multiply with tiles of keys together (`warpgroup.cuh`; sm_90a, bfloat16,
// KEY_DIM 64, 128 or 256). Products with the triangular tiles of a chunk stay a warp's own: they take parts of them.

#ifndef WARPGROUPS
#define WARPGROUPS 0
#endif
#ifndef ONE_KEY_TILE
#define ONE_KEY_TILE 0
#endif

// A tile of keys or queries [CHUNK][KEY_TILE] of the scans: swizzled for warpgroups, else in rows of KEY_PITCH.
constexpr int KEY_ELEMENTS = CHUNK * (WARPGROUPS ? KEY_TILE : KEY_PITCH);

DEVICE void load_key_tile(element *tile, const element *from, i64 stride, int rows) {
#if WARPGROUPS
    constexpr int ACROSS = KEY_TILE / 8;
#pragma unroll 4
    for (int i = threadIdx.x; i < CHUNK * ACROSS; i += SCAN_THREADS) {
        int row = i / ACROSS, column = i % ACROSS * 8;
        bool valid = row < rows;
        copy_async(tile + swizzled<CHUNK>(row, column), valid ? from + row * stride + column : from, valid);
    }
#else
    load_tile<CHUNK, KEY_TILE, KEY_PITCH, SCAN_THREADS, KEY_ALIGNED>(tile, from, stride, rows, KEY_DIM);
#endif
}

// c (sixteen value columns × CHUNK) += a · (columns step · 16 … of a tile)ᵀ, step counted in this warp's keys.
DEVICE void multiply_with_keys(Accumulator (&c)[CHUNK / 8], const FragmentA &a, const element *tile, int step) {
#if WARPGROUPS
    multiply_group<false>(c, a, describe_tile<false, CHUNK>(tile, step));
#else
#pragma unroll
    for (int n = 0; n < CHUNK / 16; n++) {
        FragmentB b0, b1;
        load_b<KEY_PITCH>(b0, b1, tile + first_key(), n * 16, step * 16);
        multiply(c[2 * n], a, b0);
        multiply(c[2 * n + 1], a, b1);
    }
#endif
}

// Sᵀ += left · right, left 16 × 16 rows of the chunk from `step * 16` on, right a tile of keys.
DEVICE void update_state(State &s, const FragmentA &left, const element *right, int step) {
#if WARPGROUPS
    multiply_group<true>(s.at, left, describe_tile<true, CHUNK>(right, step));
#else
#pragma unroll
    for (int n = 0; n < KEY_PART / 16; n++) {
        FragmentB b0, b1;
        load_b_transposed<KEY_PITCH>(b0, b1, right + first_key(), n * 16, step * 16);
        multiply(s.at[2 * n], left, b0);
        multiply(s.at[2 * n + 1], left, b1);
    }
#endif
}

// What a block needs of one chunk. READS: whether outputs are read from the state, which takes q and the scores, too.
template <bool READS>
struct TILE_ALIGNED ScanStage {
    element k[KEY_ELEMENTS];
    element q[READS && !ONE_KEY_TILE ? KEY_ELEMENTS : PAD];
    element rows[CHUNK * VALUE_PITCH];  // v forward, the gradient of the outputs backward
    element inverse[CHUNK * CHUNK_PITCH];
    element scores[READS ? CHUNK * CHUNK_PITCH : PAD];
    float sums[KEY_SPLITS > 1 ? VALUE_WARPS * 32 * 32 : PAD];
    float gates[GATES];
};

struct ScanInputs {
    const element *q, *k, *rows, *inverse, *scores;  // rows may be null: zeros
    const float *gates;
    const Chunk *chunks;
    int value_heads, head, column;
};

DEVICE void load_keys(element *tile, const element *keys, const ScanInputs &in, const Chunk &chunk) {
    int key_heads = in.value_heads / GROUPS;
    i64 offset = ((i64)chunk.token * key_heads + in.head / GROUPS) * KEY_DIM;
    load_key_tile(tile, keys + offset, (i64)key_heads * KEY_DIM, chunk.rows);
}

template <bool READS>
DEVICE void load_stage(ScanStage<READS> &stage, const ScanInputs &in, const Chunk &chunk, int index) {
    i64 values = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + in.column;
    i64 slot = (i64)index * in.value_heads + in.head;
    load_keys(stage.k, in.k, in, chunk);
    if (READS && !ONE_KEY_TILE) load_keys(stage.q, in.q, in, chunk);
    if (READS || in.rows)
        load_tile<CHUNK, VALUE_TILE, VALUE_PITCH, SCAN_THREADS, VALUE_ALIGNED>(
            stage.rows, in.rows + values, (i64)in.value_heads * VALUE_DIM, chunk.rows, VALUE_DIM - in.column);
    load_tile<CHUNK, CHUNK, CHUNK_PITCH, SCAN_THREADS, true>(stage.inverse, in.inverse + slot * CHUNK * CHUNK, CHUNK,
                                                             CHUNK, CHUNK);
    if (READS)
        load_tile<CHUNK, CHUNK, CHUNK_PITCH, SCAN_THREADS, true>(stage.scores, in.scores + slot * CHUNK * CHUNK, CHUNK,
                                                                 CHUNK, CHUNK);
    load_gates(stage.gates, in.gates + slot * GATES);
    copy_commit();
}

// Puts q, or k again, in the place of the keys, once no warp needs these any more.
template <bool READS>
DEVICE void exchange_keys(ScanStage<READS> &stage, const element *keys, const ScanInputs &in, const Chunk &chunk) {
    __syncthreads();
    load_keys(stage.k, keys, in, chunk);
    copy_commit();
    copy_wait<0>();
    __syncthreads();
}

// Adds up what the warps of the same value columns have summed over their keys, in order.
template <bool READS>
DEVICE void add_key_parts(Accumulator *a, ScanStage<READS> &stage) {
    if (KEY_SPLITS == 1) return;
    int warp = threadIdx.x >> 5, lane = lane_id(), first = warp / KEY_SPLITS * KEY_SPLITS;
    __syncthreads();
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) stage.sums[(warp * 32 + n * 4 + i) * 32 + lane] = a[n].at[i];
    __syncthreads();
#pragma unroll
    for (int n = 0; n < 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float sum = 0;
            for (int part = first; part < first + KEY_SPLITS; part++)
                sum += stage.sums[(part * 32 + n * 4 + i) * 32 + lane];
            a[n].at[i] = sum;
        }
}

// Each block starts from the state at the start of its segment, or from the gradient of the state at its end: those given for
// a sequence where it is one segment, else what `segments.cu` finds.

// Where a block of a grid of segments × value heads × value tiles works.
struct Place {
    Segment segment;
    int head, tile;
    i64 own, of_sequence;  // where the state of this segment, and of this sequence, begins: [·, value heads, K, V]
};

DEVICE Place find_place(const Segment *segments, int value_heads) {
    Place at;
    at.tile = blockIdx.x % VALUE_TILES, at.head = blockIdx.x / VALUE_TILES % value_heads;
    int number = blockIdx.x / VALUE_TILES / value_heads;
    at.segment = segments[number];
    at.own = ((i64)number * value_heads + at.head) * KEY_DIM * VALUE_DIM;
    at.of_sequence = ((i64)at.segment.sequence * value_heads + at.head) * KEY_DIM * VALUE_DIM;
    return at;
}
