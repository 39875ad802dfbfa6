// Long sequences of few heads, divided: what happens to a state over a segment is S_end = M S_start + N, since the
// recurrence is linear in the state. N is the pass from a zero state; column c of M is the pass with v = 0 from the unit
// vector e_c, so M is more columns of the same pass. Then, in order over the segments of a sequence,
//   S_start of the next segment = M S_start + N,    dS_end of the segment before = Mᵀ dS_end + N',
// with N' the reverse pass from a zero gradient. All in float32; after that every segment is a sequence of its own.
//
// The pass over the first segment starts from the initial state, the reverse one over the last from the gradient of the
// final state; their M, and M and N of the last, are not needed.

constexpr int TRANSITION_TILES = (KEY_DIM + VALUE_TILE - 1) / VALUE_TILE;

// N to `changes` [segments, value heads, K, V] and M to `transitions` [segments, value heads, K, K].
// Grid: segments × value heads × (value tiles + transition tiles).
KERNEL(gated_delta_rule_forward_segments)
(float *changes, float *transitions, const element *k, const element *v, const element *inverse, const float *gates,
 const float *initial_state, const Chunk *chunks, const Segment *segments, int value_heads) {
    constexpr int TILES = VALUE_TILES + TRANSITION_TILES;
    int tile = blockIdx.x % TILES, head = blockIdx.x / TILES % value_heads, number = blockIdx.x / TILES / value_heads;
    Segment segment = segments[number];
    bool transition = tile >= VALUE_TILES;
    if (segment.place < 0 || segment.place & LAST_SEGMENT || (transition && segment.place & FIRST_SEGMENT)) return;
    if (transition) tile -= VALUE_TILES;
    int column = tile * VALUE_TILE + first_column();
    ScanInputs in = {nullptr, k, transition ? nullptr : v, inverse, nullptr, gates, chunks, value_heads, head,
                     tile * VALUE_TILE};
    i64 own = (i64)number * value_heads + head;

    State s;
    if (transition) {
        int g = lane_id() >> 2, t = lane_id() & 3;
#pragma unroll
        for (int n = 0; n < KEY_PART / 8; n++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                s.at[n].at[i] = first_key() + n * 8 + 2 * t + (i & 1) == column + g + (i >> 1) * 8 ? 1.0f : 0.0f;
    } else {
        i64 of_sequence = ((i64)segment.sequence * value_heads + head) * KEY_DIM * VALUE_DIM;
        bool starts = initial_state && segment.place & FIRST_SEGMENT;
        load_state(s, starts ? initial_state + of_sequence : nullptr, column);
    }
    forward_pass<false>(s, in, segment.begin, segment.end, nullptr, nullptr, column, 1.0f);
    if (transition) {
        store_state(s, transitions + own * KEY_DIM * KEY_DIM, column, KEY_DIM);
    } else {
        store_state(s, changes + own * KEY_DIM * VALUE_DIM, column);
    }
}

// N' to `changes` [segments, value heads, K, V]. Grid: segments × value heads × value tiles.
KERNEL(gated_delta_rule_backward_segments)
(float *changes, const element *q, const element *k, const element *d_out, const element *inverse,
 const element *scores, const float *gates, const float *d_final_state, const Chunk *chunks, const Segment *segments,
 int value_heads, float scale) {
    int tile = blockIdx.x % VALUE_TILES, head = blockIdx.x / VALUE_TILES % value_heads;
    int number = blockIdx.x / VALUE_TILES / value_heads;
    Segment segment = segments[number];
    if (segment.place < 0 || segment.place & FIRST_SEGMENT) return;
    ScanInputs in = {q, k, d_out, inverse, scores, gates, chunks, value_heads, head, tile * VALUE_TILE};
    int column = in.column + first_column();
    i64 of_sequence = ((i64)segment.sequence * value_heads + head) * KEY_DIM * VALUE_DIM;
    State s;
    bool ends = d_final_state && segment.place & LAST_SEGMENT;
    load_state(s, ends ? d_final_state + of_sequence : nullptr, column);
    backward_pass<false>(s, in, segment.begin, segment.end, nullptr, nullptr, column, scale);
    store_state(s, changes + ((i64)number * value_heads + head) * KEY_DIM * VALUE_DIM, column);
}

constexpr int JOIN_THREADS = 256, JOIN_COLUMNS = 16;
constexpr int JOIN_ROWS = (KEY_DIM + JOIN_THREADS / 4 - 1) / (JOIN_THREADS / 4);  // rows a thread, four columns of each

// state = M state + change, or with TRANSPOSED Mᵀ, for JOIN_COLUMNS value columns in shared memory.
template <bool TRANSPOSED>
DEVICE void join(float *state, const float *transition, const float *change, int column) {
    int first = threadIdx.x / 4, own = threadIdx.x % 4 * 4;
    float sum[JOIN_ROWS][4] = {};
    if (transition)
#pragma unroll 8
        for (int c = 0; c < KEY_DIM; c++) {
            float4 right = *(const float4 *)(state + c * JOIN_COLUMNS + own);
#pragma unroll
            for (int i = 0; i < JOIN_ROWS; i++) {
                int row = first + i * (JOIN_THREADS / 4);
                float m = row >= KEY_DIM ? 0.0f : TRANSPOSED ? transition[c * KEY_DIM + row] : transition[row * KEY_DIM + c];
                sum[i][0] += m * right.x, sum[i][1] += m * right.y, sum[i][2] += m * right.z, sum[i][3] += m * right.w;
            }
        }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < JOIN_ROWS; i++) {
        int row = first + i * (JOIN_THREADS / 4);
        if (row >= KEY_DIM) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            bool inside = column + own + j < VALUE_DIM;
            state[row * JOIN_COLUMNS + own + j] = sum[i][j] + (inside ? change[row * VALUE_DIM + column + own + j] : 0.0f);
        }
    }
    __syncthreads();
}

DEVICE void write_joined(float *to, const float *state, int column) {
    for (int i = threadIdx.x; i < KEY_DIM * JOIN_COLUMNS; i += JOIN_THREADS) {
        int row = i / JOIN_COLUMNS, value = column + i % JOIN_COLUMNS;
        if (value < VALUE_DIM) to[row * VALUE_DIM + value] = state[i];
    }
}

DEVICE void read_joined(float *state, const float *from, int column) {
    for (int i = threadIdx.x; i < KEY_DIM * JOIN_COLUMNS; i += JOIN_THREADS) {
        int row = i / JOIN_COLUMNS, value = column + i % JOIN_COLUMNS;
        state[i] = from && value < VALUE_DIM ? from[row * VALUE_DIM + value] : 0.0f;
    }
    __syncthreads();
}

// From segment to segment of a sequence, in order or, BACKWARD, in reverse: what each begins with goes to `joined`. The first
// one's change holds what it began with already.
template <bool BACKWARD>
DEVICE void join_segments(float *joined, const float *changes, const float *transitions, const float *given,
                          const int *first_segment, int value_heads) {
    __shared__ __align__(16) float state[KEY_DIM * JOIN_COLUMNS];
    constexpr int TILES = (VALUE_DIM + JOIN_COLUMNS - 1) / JOIN_COLUMNS;
    int column = blockIdx.x % TILES * JOIN_COLUMNS, head = blockIdx.x / TILES % value_heads;
    int sequence = blockIdx.x / TILES / value_heads;
    i64 size = (i64)KEY_DIM * VALUE_DIM;
    read_joined(state, given ? given + ((i64)sequence * value_heads + head) * size : nullptr, column);
    int begin = first_segment[sequence], count = first_segment[sequence + 1] - begin;
    for (int i = 0; i < count; i++) {
        i64 own = (i64)(BACKWARD ? begin + count - 1 - i : begin + i) * value_heads + head;
        write_joined(joined + own * size, state, column);
        if (i + 1 == count) break;
        join<BACKWARD>(state, i == 0 ? nullptr : transitions + own * KEY_DIM * KEY_DIM, changes + own * size, column);
    }
}

// The state at the start of every segment, from the segments' N and M. Grid: sequences × value heads × 16 value columns.
KERNEL(gated_delta_rule_join_forward)
(float *starts, const float *changes, const float *transitions, const float *initial_state, const int *first_segment,
 int value_heads) {
    join_segments<false>(starts, changes, transitions, initial_state, first_segment, value_heads);
}

// The gradient of the state at the end of every segment. Grid: sequences × value heads × 16 value columns.
KERNEL(gated_delta_rule_join_backward)
(float *ends, const float *changes, const float *transitions, const float *d_final_state, const int *first_segment,
 int value_heads) {
    join_segments<true>(ends, changes, transitions, d_final_state, first_segment, value_heads);
}
