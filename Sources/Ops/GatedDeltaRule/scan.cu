// The pass through time. A block owns one sequence, one value head and VALUE_TILE value columns, a warp sixteen of them,
// and keeps Sᵀ [16 value columns × K] in registers from the first chunk to the last. Value columns never mix, so blocks
// and warps have nothing to tell each other. All tiles are transposed: rows of the chunk are columns, and factors per
// token (γ, ρ, β) are factors per column. An accumulator becomes the left operand of the next product in registers.
//
// Tiles of the next chunk are copied while this one is computed (STAGES 2); one barrier a chunk.

// What a block needs of one chunk.
struct ScanStage {
    element q[CHUNK * KEY_PITCH];
    element k[CHUNK * KEY_PITCH];
    element rows[CHUNK * VALUE_PITCH];  // v forward, the gradient of the outputs backward
    element inverse[CHUNK * CHUNK_PITCH];
    element scores[CHUNK * CHUNK_PITCH];
    float gates[GATES];
};

struct ScanInputs {
    const element *q, *k, *rows, *inverse, *scores;
    const float *gates;
    int value_heads, head, column;
};

DEVICE void load_stage(ScanStage &stage, const ScanInputs &in, const Chunk &chunk, int index) {
    int key_heads = in.value_heads / GROUPS;
    i64 keys = ((i64)chunk.token * key_heads + in.head / GROUPS) * KEY_DIM, key_stride = (i64)key_heads * KEY_DIM;
    i64 values = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + in.column;
    i64 slot = (i64)index * in.value_heads + in.head;
    load_tile<CHUNK, KEY_TILE, KEY_PITCH, SCAN_THREADS, KEY_ALIGNED>(stage.k, in.k + keys, key_stride, chunk.rows,
                                                                     KEY_DIM);
    load_tile<CHUNK, KEY_TILE, KEY_PITCH, SCAN_THREADS, KEY_ALIGNED>(stage.q, in.q + keys, key_stride, chunk.rows,
                                                                     KEY_DIM);
    load_tile<CHUNK, VALUE_TILE, VALUE_PITCH, SCAN_THREADS, VALUE_ALIGNED>(
        stage.rows, in.rows + values, (i64)in.value_heads * VALUE_DIM, chunk.rows, VALUE_DIM - in.column);
    load_tile<CHUNK, CHUNK, CHUNK_PITCH, SCAN_THREADS, true>(stage.inverse, in.inverse + slot * CHUNK * CHUNK, CHUNK,
                                                             CHUNK, CHUNK);
    load_tile<CHUNK, CHUNK, CHUNK_PITCH, SCAN_THREADS, true>(stage.scores, in.scores + slot * CHUNK * CHUNK, CHUNK,
                                                             CHUNK, CHUNK);
    load_gates(stage.gates, in.gates + slot * GATES);
    copy_commit();
}

// Grid: sequences × value heads × value tiles.
KERNEL(gated_delta_rule_forward_scan)
(element *out, element *solved, float *final_state, const element *q, const element *k, const element *v,
 const element *inverse, const element *scores, const float *gates, const float *initial_state, const Chunk *chunks,
 const int *first_chunk, int value_heads, float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    ScanStage *stages = (ScanStage *)shared;
    int tile = blockIdx.x % VALUE_TILES, head = blockIdx.x / VALUE_TILES % value_heads;
    int sequence = blockIdx.x / VALUE_TILES / value_heads;
    int warp = threadIdx.x >> 5, column = tile * VALUE_TILE + warp * 16;
    ScanInputs in = {q, k, v, inverse, scores, gates, value_heads, head, tile * VALUE_TILE};
    i64 state_offset = ((i64)sequence * value_heads + head) * KEY_DIM * VALUE_DIM;

    State s;
    load_state(s, initial_state ? initial_state + state_offset : nullptr, column);
    int begin = first_chunk[sequence], end = first_chunk[sequence + 1];
    // Entries of the table are read one chunk before they are needed: their latency is the chain's.
    Chunk chunk, next = begin < end ? chunks[begin] : Chunk{}, later = begin + 1 < end ? chunks[begin + 1] : Chunk{};
    if (STAGES == 2 && begin < end) load_stage(stages[0], in, next, begin);

    for (int index = begin; index < end; index++) {
        chunk = next, next = later;
        if (index + 2 < end) later = chunks[index + 2];
        ScanStage &stage = stages[STAGES == 2 ? (index - begin) & 1 : 0];
        if (STAGES == 1) {
            __syncthreads();
            load_stage(stage, in, chunk, index);
        }
        copy_wait<0>();
        __syncthreads();
        if (STAGES == 2 && index + 1 < end)
            load_stage(stages[(index + 1 - begin) & 1], in, next, index + 1);
        const float *decay = gate_decay(stage.gates), *rest = gate_rest(stage.gates);
        const float *strength = gate_strength(stage.gates);

        // Xᵀ = Sᵀ Kᵀ and Oᵀ = Sᵀ Qᵀ
        Accumulator x[8], o[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(x[n]), clear(o[n]);
#pragma unroll
        for (int step = 0; step < KEY_TILE / 16; step++) {
            FragmentA a = as_operand(s.at[2 * step], s.at[2 * step + 1]);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                FragmentB b0, b1;
                load_b<KEY_PITCH>(b0, b1, stage.k, n * 16, step * 16);
                multiply(x[2 * n], a, b0);
                multiply(x[2 * n + 1], a, b1);
                load_b<KEY_PITCH>(b0, b1, stage.q, n * 16, step * 16);
                multiply(o[2 * n], a, b0);
                multiply(o[2 * n + 1], a, b1);
            }
        }

        // Rᵀ = β (Vᵀ − γ Xᵀ), the right-hand side of the triangular system
        FragmentA r[4];
#pragma unroll
        for (int step = 0; step < 4; step++) {
            Accumulator left, right;
            unpack(left, right, load_a_transposed<VALUE_PITCH>(stage.rows, warp * 16, step * 16));
            scale_columns(x[2 * step], decay, 2 * step);
            scale_columns(x[2 * step + 1], decay, 2 * step + 1);
#pragma unroll
            for (int i = 0; i < 4; i++) left.at[i] -= x[2 * step].at[i], right.at[i] -= x[2 * step + 1].at[i];
            scale_columns(left, strength, 2 * step);
            scale_columns(right, strength, 2 * step + 1);
            r[step] = as_operand(left, right);
        }

        // Uᵀ = Rᵀ (G ⊙ A)ᵀ, block rows at and below the diagonal
        Accumulator u[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(u[n]);
#pragma unroll
        for (int step = 0; step < 4; step++)
#pragma unroll
            for (int n = step; n < 4; n++) {
                FragmentB b0, b1;
                load_b<CHUNK_PITCH>(b0, b1, stage.inverse, n * 16, step * 16);
                multiply(u[2 * n], r[step], b0);
                multiply(u[2 * n + 1], r[step], b1);
            }

        // Oᵀ = s γ Oᵀ + Uᵀ Pᵀ
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
            for (int n = step; n < 4; n++) {
                FragmentB b0, b1;
                load_b<CHUNK_PITCH>(b0, b1, stage.scores, n * 16, step * 16);
                multiply(o[2 * n], a, b0);
                multiply(o[2 * n + 1], a, b1);
            }
        }
        i64 stride = (i64)value_heads * VALUE_DIM;
        i64 offset = ((i64)chunk.token * value_heads + head) * VALUE_DIM + column;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            store_transposed<VALUE_PAIRS>(out + offset + n * 8 * stride, stride, o[n], chunk.rows - n * 8,
                                          VALUE_DIM - column);
            if (solved)
                store_transposed<VALUE_PAIRS>(solved + offset + n * 8 * stride, stride, u[n], chunk.rows - n * 8,
                                              VALUE_DIM - column);
        }

        // Sᵀ = e^B Sᵀ + (ρ U)ᵀ K
        scale_state(s, decay[CHUNK - 1]);
#pragma unroll
        for (int step = 0; step < 4; step++) {
            scale_columns(u[2 * step], rest, 2 * step);
            scale_columns(u[2 * step + 1], rest, 2 * step + 1);
            update_state(s, as_operand(u[2 * step], u[2 * step + 1]), stage.k, step);
        }
    }
    if (final_state) store_state(s, final_state + state_offset, column);
}

// Backwards through time: dSᵀ takes the place of Sᵀ. Writes the gradient of v, and of the state after every chunk.
//   dUᵀ = ρ (dSᵀ Kᵀ) + dOᵀ P      Yᵀ = dUᵀ (G ⊙ A)      dVᵀ = β Yᵀ
//   dSᵀ ← e^B dSᵀ + (s γ dO)ᵀ Q − (γ dV)ᵀ K
// Grid: sequences × value heads × value tiles.
KERNEL(gated_delta_rule_backward_scan)
(element *dv, element *state_gradients, float *d_initial_state, const element *q, const element *k,
 const element *d_out, const element *inverse, const element *scores, const float *gates, const float *d_final_state,
 const Chunk *chunks, const int *first_chunk, int value_heads, float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    ScanStage *stages = (ScanStage *)shared;
    int tile = blockIdx.x % VALUE_TILES, head = blockIdx.x / VALUE_TILES % value_heads;
    int sequence = blockIdx.x / VALUE_TILES / value_heads;
    int warp = threadIdx.x >> 5, column = tile * VALUE_TILE + warp * 16;
    ScanInputs in = {q, k, d_out, inverse, scores, gates, value_heads, head, tile * VALUE_TILE};
    i64 state_offset = ((i64)sequence * value_heads + head) * KEY_DIM * VALUE_DIM;

    State s;
    load_state(s, d_final_state ? d_final_state + state_offset : nullptr, column);
    int begin = first_chunk[sequence], end = first_chunk[sequence + 1];
    Chunk chunk, next = begin < end ? chunks[end - 1] : Chunk{}, later = begin + 1 < end ? chunks[end - 2] : Chunk{};
    if (STAGES == 2 && begin < end) load_stage(stages[(end - 1) & 1], in, next, end - 1);

    for (int index = end - 1; index >= begin; index--) {
        chunk = next, next = later;
        if (index - 2 >= begin) later = chunks[index - 2];
        ScanStage &stage = stages[STAGES == 2 ? index & 1 : 0];
        if (STAGES == 1) {
            __syncthreads();
            load_stage(stage, in, chunk, index);
        }
        store_scratch_state(s, state_gradients + ((i64)index * value_heads + head) * VALUE_DIM * KEY_DIM, column);
        copy_wait<0>();
        __syncthreads();
        if (STAGES == 2 && index > begin) load_stage(stages[(index - 1) & 1], in, next, index - 1);
        const float *decay = gate_decay(stage.gates), *rest = gate_rest(stage.gates);
        const float *strength = gate_strength(stage.gates);

        Accumulator du[8], y[8];
#pragma unroll
        for (int n = 0; n < 8; n++) clear(du[n]), clear(y[n]);
#pragma unroll
        for (int step = 0; step < KEY_TILE / 16; step++) {
            FragmentA a = as_operand(s.at[2 * step], s.at[2 * step + 1]);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                FragmentB b0, b1;
                load_b<KEY_PITCH>(b0, b1, stage.k, n * 16, step * 16);
                multiply(du[2 * n], a, b0);
                multiply(du[2 * n + 1], a, b1);
            }
        }
#pragma unroll
        for (int n = 0; n < 8; n++) scale_columns(du[n], rest, n);
        FragmentA from_out[4];
#pragma unroll
        for (int step = 0; step < 4; step++) {
            from_out[step] = load_a_transposed<VALUE_PITCH>(stage.rows, warp * 16, step * 16);
#pragma unroll
            for (int n = 0; n <= step; n++) {
                FragmentB b0, b1;
                load_b_transposed<CHUNK_PITCH>(b0, b1, stage.scores, n * 16, step * 16);
                multiply(du[2 * n], from_out[step], b0);
                multiply(du[2 * n + 1], from_out[step], b1);
            }
        }
#pragma unroll
        for (int step = 0; step < 4; step++) {
            FragmentA a = as_operand(du[2 * step], du[2 * step + 1]);
#pragma unroll
            for (int n = 0; n <= step; n++) {
                FragmentB b0, b1;
                load_b_transposed<CHUNK_PITCH>(b0, b1, stage.inverse, n * 16, step * 16);
                multiply(y[2 * n], a, b0);
                multiply(y[2 * n + 1], a, b1);
            }
        }
        i64 stride = (i64)value_heads * VALUE_DIM;
        i64 offset = ((i64)chunk.token * value_heads + head) * VALUE_DIM + column;
#pragma unroll
        for (int n = 0; n < 8; n++) {
            scale_columns(y[n], strength, n);
            store_transposed<VALUE_PAIRS>(dv + offset + n * 8 * stride, stride, y[n], chunk.rows - n * 8,
                                          VALUE_DIM - column);
        }

        scale_state(s, decay[CHUNK - 1]);
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
            update_state(s, as_operand(left, right), stage.q, step);
            update_state(s, as_operand(y[2 * step], y[2 * step + 1]), stage.k, step);
        }
    }
    if (d_initial_state) store_state(s, d_initial_state + state_offset, column);
}

// What the states pass needs of one chunk.
struct StateStage {
    element k[CHUNK * KEY_PITCH];
    element solved[CHUNK * VALUE_PITCH];
    float gates[GATES];
};

DEVICE void load_state_stage(StateStage &stage, const ScanInputs &in, const Chunk &chunk, int index) {
    int key_heads = in.value_heads / GROUPS;
    i64 keys = ((i64)chunk.token * key_heads + in.head / GROUPS) * KEY_DIM;
    i64 values = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + in.column;
    load_tile<CHUNK, KEY_TILE, KEY_PITCH, SCAN_THREADS, KEY_ALIGNED>(stage.k, in.k + keys, (i64)key_heads * KEY_DIM,
                                                                     chunk.rows, KEY_DIM);
    load_tile<CHUNK, VALUE_TILE, VALUE_PITCH, SCAN_THREADS, VALUE_ALIGNED>(
        stage.solved, in.rows + values, (i64)in.value_heads * VALUE_DIM, chunk.rows, VALUE_DIM - in.column);
    load_gates(stage.gates, in.gates + ((i64)index * in.value_heads + in.head) * GATES);
    copy_commit();
}

// The states before every chunk once more, from the solved values: Sᵀ ← e^B Sᵀ + (ρ U)ᵀ K.
// Grid: sequences × value heads × value tiles.
KERNEL(gated_delta_rule_backward_states)
(element *states, const element *k, const element *solved, const float *gates, const float *initial_state,
 const Chunk *chunks, const int *first_chunk, int value_heads) {
    extern __shared__ __align__(16) unsigned char shared[];
    StateStage *stages = (StateStage *)shared;
    int tile = blockIdx.x % VALUE_TILES, head = blockIdx.x / VALUE_TILES % value_heads;
    int sequence = blockIdx.x / VALUE_TILES / value_heads;
    int warp = threadIdx.x >> 5, column = tile * VALUE_TILE + warp * 16;
    ScanInputs in = {nullptr, k, solved, nullptr, nullptr, gates, value_heads, head, tile * VALUE_TILE};
    i64 state_offset = ((i64)sequence * value_heads + head) * KEY_DIM * VALUE_DIM;

    State s;
    load_state(s, initial_state ? initial_state + state_offset : nullptr, column);
    int begin = first_chunk[sequence], end = first_chunk[sequence + 1];
    Chunk chunk, next = begin < end ? chunks[begin] : Chunk{}, later = begin + 1 < end ? chunks[begin + 1] : Chunk{};
    if (STAGES == 2 && begin < end) load_state_stage(stages[0], in, next, begin);
    for (int index = begin; index < end; index++) {
        chunk = next, next = later;
        if (index + 2 < end) later = chunks[index + 2];
        StateStage &stage = stages[STAGES == 2 ? (index - begin) & 1 : 0];
        if (STAGES == 1) {
            __syncthreads();
            load_state_stage(stage, in, chunk, index);
        }
        store_scratch_state(s, states + ((i64)index * value_heads + head) * VALUE_DIM * KEY_DIM, column);
        copy_wait<0>();
        __syncthreads();
        if (STAGES == 2 && index + 1 < end)
            load_state_stage(stages[(index + 1 - begin) & 1], in, next, index + 1);
        scale_state(s, gate_decay(stage.gates)[CHUNK - 1]);
#pragma unroll
        for (int step = 0; step < 4; step++) {
            Accumulator left, right;
            unpack(left, right, load_a_transposed<VALUE_PITCH>(stage.solved, warp * 16, step * 16));
            scale_columns(left, gate_rest(stage.gates), 2 * step);
            scale_columns(right, gate_rest(stage.gates), 2 * step + 1);
            update_state(s, as_operand(left, right), stage.k, step);
        }
    }
}
