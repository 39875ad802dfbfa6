// The kernel of the pass backwards, and the states it does not keep.

// Gradients of v, of the state after every chunk, and of the initial state. Grid: segments × value heads × value tiles.
KERNEL(gated_delta_rule_backward_scan)
(element *dv, element *state_gradients, float *d_initial_state, const element *q, const element *k,
 const element *d_out, const element *inverse, const element *scores, const float *gates, const float *ends,
 const Chunk *chunks, const Segment *segments, int value_heads, float scale) {
    Place at = find_place(segments, value_heads);
    if (at.segment.place < 0) return;
    ScanInputs in = {q, k, d_out, inverse, scores, gates, chunks, value_heads, at.head, at.tile * VALUE_TILE};
    int column = in.column + first_column();
    State s;
    load_state(s, ends ? ends + at.own : nullptr, column);
    backward_pass<true>(s, in, at.segment.begin, at.segment.end, dv, state_gradients, column, scale);
    if (d_initial_state && at.segment.place & FIRST_SEGMENT) store_state(s, d_initial_state + at.of_sequence, column);
}

// Stages of the states pass: where the states are large, one, so that more blocks share a multiprocessor.
constexpr int STATE_STAGES = KEY_PART > 128 ? 1 : STAGES;

// What the states pass needs of one chunk.
struct TILE_ALIGNED StateStage {
    element k[KEY_ELEMENTS];
    element solved[CHUNK * VALUE_PITCH];
    float gates[GATES];
};

DEVICE void load_state_stage(StateStage &stage, const ScanInputs &in, const Chunk &chunk, int index) {
    i64 values = ((i64)chunk.token * in.value_heads + in.head) * VALUE_DIM + in.column;
    load_keys(stage.k, in.k, in, chunk);
    load_tile<CHUNK, VALUE_TILE, VALUE_PITCH, SCAN_THREADS, VALUE_ALIGNED>(
        stage.solved, in.rows + values, (i64)in.value_heads * VALUE_DIM, chunk.rows, VALUE_DIM - in.column);
    load_gates(stage.gates, in.gates + ((i64)index * in.value_heads + in.head) * GATES);
    copy_commit();
}

// The states before every chunk once more, from the solved values: Sᵀ ← e^B Sᵀ + (ρ U)ᵀ K.
// Grid: segments × value heads × value tiles.
KERNEL(gated_delta_rule_backward_states)
(element *states, const element *k, const element *solved, const float *gates, const float *starts,
 const Chunk *chunks, const Segment *segments, int value_heads) {
    extern __shared__ __align__(1024) unsigned char shared[];
    StateStage *stages = (StateStage *)shared;
    Place at = find_place(segments, value_heads);
    if (at.segment.place < 0) return;
    ScanInputs in = {nullptr, k, solved, nullptr, nullptr, gates, chunks, value_heads, at.head, at.tile * VALUE_TILE};
    int column = in.column + first_column(), head = at.head;

    State s;
    load_state(s, starts ? starts + at.own : nullptr, column);
    int begin = at.segment.begin, end = at.segment.end;
    Chunk chunk, next = begin < end ? chunks[begin] : Chunk{}, later = begin + 1 < end ? chunks[begin + 1] : Chunk{};
    if (STATE_STAGES == 2 && begin < end) load_state_stage(stages[0], in, next, begin);
    for (int index = begin; index < end; index++) {
        chunk = next, next = later;
        if (index + 2 < end) later = chunks[index + 2];
        StateStage &stage = stages[STATE_STAGES == 2 ? (index - begin) & 1 : 0];
        if (STATE_STAGES == 1) {
            __syncthreads();
            load_state_stage(stage, in, chunk, index);
        }
        store_scratch_state(s, states + ((i64)index * value_heads + head) * VALUE_DIM * KEY_DIM, column);
        copy_wait<0>();
        show_copies();
        __syncthreads();
        if (STATE_STAGES == 2 && index + 1 < end)
            load_state_stage(stages[(index + 1 - begin) & 1], in, next, index + 1);
        scale_state(s, gate_decay(stage.gates)[CHUNK - 1]);
        begin_products();
#pragma unroll
        for (int step = 0; step < 4; step++) {
            Accumulator left, right;
            unpack(left, right, load_a_transposed<VALUE_PITCH>(stage.solved, first_column(), step * 16));
            scale_columns(left, gate_rest(stage.gates), 2 * step);
            scale_columns(right, gate_rest(stage.gates), 2 * step + 1);
            update_state(s, as_operand(left, right), stage.k, step);
        }
        commit_products();
        wait_products<0>();
    }
}
