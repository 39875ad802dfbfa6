// The passes through time. A block owns one segment of one sequence, one value head and VALUE_TILE value columns, a warp
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

// c += a · what rounding left of Tᵀ, T = G ⊙ A: at (j, i) of the tile for T_ij, i > j.
DEVICE void multiply_rest(Accumulator *c, const FragmentA &a, const element *inverse, int n, int step) {
#if ELEMENT_BFLOAT16
    FragmentB b0, b1;
    load_b_transposed<CHUNK_PITCH>(b0, b1, inverse, n * 16, step * 16);
    if (n == step) keep_columns_from_diagonal<true>(b0, b1);
    multiply(c[0], a, b0);
    multiply(c[1], a, b1);
#endif
}

// What rounding left of two accumulators that `a` was made of. In float32 there is none, and nobody asks.
DEVICE FragmentA remainder(const Accumulator &left, const Accumulator &right, const FragmentA &a) {
    Accumulator rounded_left, rounded_right;
    unpack(rounded_left, rounded_right, a);
#pragma unroll
    for (int i = 0; i < 4; i++)
        rounded_left.at[i] = left.at[i] - rounded_left.at[i], rounded_right.at[i] = right.at[i] - rounded_right.at[i];
    return as_operand(rounded_left, rounded_right);
}

// How many bfloat16 numbers stand for one of U where outputs are read.
constexpr int U_PARTS = ERASES && sizeof(element) == 2 ? 2 : 1;

// Forwards through chunks [begin, end), with the state s.
//   X = K S                  R = β (V − γ X)              U = (G ⊙ A) R
//   O = s γ Q S + P U        S ← e^B S + Kᵀ (ρ U)
// READS: writes `out` and, where given, U to `solved`; otherwise only the state is carried on.
template <bool READS>
DEVICE void forward_pass(State &s, const ScanInputs &in, int begin, int end, element *out, element *solved, int column,
                         float scale) {
    extern __shared__ __align__(1024) unsigned char shared[];
    ScanStage<READS> *stages = (ScanStage<READS> *)shared;
    // Entries of the table are read one chunk before they are needed: their latency is the chain's.
    Chunk chunk, next = begin < end ? in.chunks[begin] : Chunk{};
    Chunk later = begin + 1 < end ? in.chunks[begin + 1] : Chunk{};
    if (STAGES == 2 && begin < end) load_stage(stages[0], in, next, begin);

    for (int index = begin; index < end; index++) {
        chunk = next, next = later;
        if (index + 2 < end) later = in.chunks[index + 2];
        ScanStage<READS> &stage = stages[STAGES == 2 ? (index - begin) & 1 : 0];
        if (STAGES == 1) {
            __syncthreads();
            load_stage(stage, in, chunk, index);
        }
        copy_wait<0>();
        show_copies();
        __syncthreads();
        if (STAGES == 2 && index + 1 < end)
            load_stage(stages[(index + 1 - begin) & 1], in, next, index + 1);
        const float *decay = gate_decay(stage.gates), *rest = gate_rest(stage.gates);
        const float *strength = gate_strength(stage.gates);

        // Xᵀ = Sᵀ Kᵀ and Oᵀ = Sᵀ Qᵀ
        Accumulator x[8], o[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(x[n]), clear(o[n]);
        // One loop, so that both products take the same packed state; two where k and q take turns.
#pragma unroll
        for (int turn = 0; turn <= ONE_KEY_TILE; turn++) {
            if (turn == 1 && !READS) break;
            if (turn == 1) exchange_keys(stage, in.q, in, chunk);
            begin_products();
#pragma unroll
            for (int step = 0; step < KEY_PART / 16; step++) {
                FragmentA a = as_operand(s.at[2 * step], s.at[2 * step + 1]);
                if (ERASES && turn == 0) multiply_with_keys(x, a, stage.k, step);
                if (READS && turn == ONE_KEY_TILE) multiply_with_keys(o, a, ONE_KEY_TILE ? stage.k : stage.q, step);
                commit_products();
                wait_products<2>();
            }
            wait_products<0>();
        }
        if (ERASES) add_key_parts(x, stage);
        if (READS) add_key_parts(o, stage);
        if (READS && ONE_KEY_TILE) exchange_keys(stage, in.k, in, chunk);

        // Rᵀ = β (Vᵀ − γ Xᵀ), the right-hand side of the triangular system
        FragmentA r[4];
#pragma unroll
        for (int step = 0; step < 4; step++) {
            Accumulator left, right;
            if (READS || in.rows) {
                unpack(left, right, load_a_transposed<VALUE_PITCH>(stage.rows, first_column(), step * 16));
            } else {
                clear(left), clear(right);
            }
            scale_columns(x[2 * step], decay, 2 * step);
            scale_columns(x[2 * step + 1], decay, 2 * step + 1);
#pragma unroll
            for (int i = 0; i < 4; i++) left.at[i] -= x[2 * step].at[i], right.at[i] -= x[2 * step + 1].at[i];
            scale_columns(left, strength, 2 * step);
            scale_columns(right, strength, 2 * step + 1);
            r[step] = as_operand(left, right);
        }

        // Uᵀ = Rᵀ (G ⊙ A)ᵀ, block rows at and below the diagonal, the inverse in both its parts
        Accumulator u[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(u[n]);
#pragma unroll
        for (int step = 0; step < 4; step++)
#pragma unroll
            for (int n = step; n < 4; n++) {
                FragmentB b0, b1;
                load_b<CHUNK_PITCH>(b0, b1, stage.inverse, n * 16, step * 16);
#if ELEMENT_BFLOAT16
                if (n == step) keep_columns_from_diagonal<false>(b0, b1);
#endif
                multiply(u[2 * n], r[step], b0);
                multiply(u[2 * n + 1], r[step], b1);
                if (ERASES) multiply_rest(u + 2 * n, r[step], stage.inverse, n, step);
            }

        if (READS) {
            // Oᵀ = s γ Oᵀ + Uᵀ Pᵀ, U in two parts as well
#pragma unroll
            for (int n = 0; n < 8; n++) {
                scale_columns(o[n], decay, n);
#pragma unroll
                for (int i = 0; i < 4; i++) o[n].at[i] *= scale;
            }
#pragma unroll
            for (int step = 0; step < 4; step++) {
                FragmentA a = as_operand(u[2 * step], u[2 * step + 1]);
#pragma unroll
                for (int part = 0; part < U_PARTS; part++) {
                    if (part == 1) a = remainder(u[2 * step], u[2 * step + 1], a);
#pragma unroll
                    for (int n = step; n < 4; n++) {
                        FragmentB b0, b1;
                        load_b<CHUNK_PITCH>(b0, b1, stage.scores, n * 16, step * 16);
                        multiply(o[2 * n], a, b0);
                        multiply(o[2 * n + 1], a, b1);
                    }
                }
            }
            i64 stride = (i64)in.value_heads * VALUE_DIM;
            i64 offset = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + column;
#pragma unroll
            for (int n = 0; n < 8; n++) {
                if (first_key() > 0) break;  // the other warp of these columns writes the same
                store_transposed<VALUE_PAIRS>(out + offset + n * 8 * stride, stride, o[n], chunk.rows - n * 8,
                                              VALUE_DIM - column);
                if (solved)
                    store_transposed<VALUE_PAIRS>(solved + offset + n * 8 * stride, stride, u[n], chunk.rows - n * 8,
                                                  VALUE_DIM - column);
            }
        }

        // Sᵀ = e^B Sᵀ + (ρ U)ᵀ K
        scale_state(s, decay[CHUNK - 1]);
        begin_products();
#pragma unroll
        for (int step = 0; step < 4; step++) {
            scale_columns(u[2 * step], rest, 2 * step);
            scale_columns(u[2 * step + 1], rest, 2 * step + 1);
            update_state(s, as_operand(u[2 * step], u[2 * step + 1]), stage.k, step);
        }
        commit_products();
        wait_products<0>();
    }
}

// Backwards through chunks [begin, end): dSᵀ takes the place of Sᵀ.
//   dU = ρ (K dS) + Pᵀ dO      Y = (G ⊙ A)ᵀ dU      dV = β Y      dS ← e^B dS + Qᵀ (s γ dO) − Kᵀ (γ dV)
// WRITES: the gradient of v, and of the state after every chunk.
template <bool WRITES>
DEVICE void backward_pass(State &s, const ScanInputs &in, int begin, int end, element *dv, element *state_gradients,
                          int column, float scale) {
    extern __shared__ __align__(1024) unsigned char shared[];
    ScanStage<true> *stages = (ScanStage<true> *)shared;
    Chunk chunk, next = begin < end ? in.chunks[end - 1] : Chunk{};
    Chunk later = begin + 1 < end ? in.chunks[end - 2] : Chunk{};
    if (STAGES == 2 && begin < end) load_stage(stages[(end - 1) & 1], in, next, end - 1);

    for (int index = end - 1; index >= begin; index--) {
        chunk = next, next = later;
        if (index - 2 >= begin) later = in.chunks[index - 2];
        ScanStage<true> &stage = stages[STAGES == 2 ? index & 1 : 0];
        if (STAGES == 1) {
            __syncthreads();
            load_stage(stage, in, chunk, index);
        }
        if (WRITES)
            store_scratch_state(s, state_gradients + ((i64)index * in.value_heads + in.head) * VALUE_DIM * KEY_DIM,
                                column);
        copy_wait<0>();
        show_copies();
        __syncthreads();
        if (STAGES == 2 && index > begin) load_stage(stages[(index - 1) & 1], in, next, index - 1);
        const float *decay = gate_decay(stage.gates), *rest = gate_rest(stage.gates);
        const float *strength = gate_strength(stage.gates);

        // dUᵀ = ρ (dSᵀ Kᵀ) + dOᵀ P
        Accumulator du[8], y[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(du[n]), clear(y[n]);
        begin_products();
#pragma unroll
        for (int step = 0; step < KEY_PART / 16; step++) {
            multiply_with_keys(du, as_operand(s.at[2 * step], s.at[2 * step + 1]), stage.k, step);
            commit_products();
            wait_products<2>();
        }
        wait_products<0>();
        add_key_parts(du, stage);
#pragma unroll
        for (int n = 0; n < 8; n++) scale_columns(du[n], rest, n);
        FragmentA from_out[4];
#pragma unroll
        for (int step = 0; step < 4; step++) {
            from_out[step] = load_a_transposed<VALUE_PITCH>(stage.rows, first_column(), step * 16);
#pragma unroll
            for (int n = 0; n <= step; n++) {
                FragmentB b0, b1;
                load_b_transposed<CHUNK_PITCH>(b0, b1, stage.scores, n * 16, step * 16);
                multiply(du[2 * n], from_out[step], b0);
                multiply(du[2 * n + 1], from_out[step], b1);
            }
        }

        // Yᵀ = dUᵀ (G ⊙ A); the rest of the inverse is for states and outputs, gradients do without
#pragma unroll
        for (int step = 0; step < 4; step++) {
            FragmentA a = as_operand(du[2 * step], du[2 * step + 1]);
#pragma unroll
            for (int n = 0; n <= step; n++) {
                FragmentB b0, b1;
                load_b_transposed<CHUNK_PITCH>(b0, b1, stage.inverse, n * 16, step * 16);
#if ELEMENT_BFLOAT16
                if (n == step) keep_rows_from_diagonal(b0, b1);
#endif
                multiply(y[2 * n], a, b0);
                multiply(y[2 * n + 1], a, b1);
            }
        }
        i64 stride = (i64)in.value_heads * VALUE_DIM;
        i64 offset = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + column;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            scale_columns(y[n], strength, n);
            if (WRITES && first_key() == 0)
                store_transposed<VALUE_PAIRS>(dv + offset + n * 8 * stride, stride, y[n], chunk.rows - n * 8,
                                              VALUE_DIM - column);
        }

        // dSᵀ = e^B dSᵀ + (s γ dO)ᵀ Q − (γ dV)ᵀ K
        scale_state(s, decay[CHUNK - 1]);
        begin_products();
#pragma unroll
        for (int step = 0; step < 4; step++) {
            Accumulator left, right;
            unpack(left, right, from_out[step]);
            scale_columns(left, decay, 2 * step);
            scale_columns(right, decay, 2 * step + 1);
            scale_columns(y[2 * step], decay, 2 * step);
            scale_columns(y[2 * step + 1], decay, 2 * step + 1);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                left.at[i] *= scale, right.at[i] *= scale;
                y[2 * step].at[i] = -y[2 * step].at[i], y[2 * step + 1].at[i] = -y[2 * step + 1].at[i];
            }
            if (ERASES) update_state(s, as_operand(y[2 * step], y[2 * step + 1]), stage.k, step);
            if (!ONE_KEY_TILE) update_state(s, as_operand(left, right), stage.q, step);
            from_out[step] = as_operand(left, right);
        }
        commit_products();
        wait_products<0>();
        if (ONE_KEY_TILE) {
            exchange_keys(stage, in.q, in, chunk);
#pragma unroll
            for (int step = 0; step < 4; step++) update_state(s, from_out[step], stage.k, step);
        }
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
