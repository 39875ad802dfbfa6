// One token a sequence, in float32: S ← e^g S, u = β (v − Sᵀk), S ← S + k uᵀ, o = s Sᵀq. The state is read once and written
// once; it may be updated in place. A block owns 32 value columns of one sequence and head; each of its four warps holds
// a quarter of the key rows in registers, a lane one column.
// Grid: sequences × value heads × ⌈V / 32⌉; 128 threads.
constexpr int STEP_ROWS = (KEY_DIM + 3) / 4;

KERNEL(gated_delta_rule_step)
(element *out, float *final_state, const element *q, const element *k, const element *v, const float *log_decay,
 const float *beta, const float *initial_state, int value_heads, float scale) {
    __shared__ float keys[KEY_DIM], queries[KEY_DIM], sums[4][32];
    constexpr int TILES = (VALUE_DIM + 31) / 32;
    int tile = blockIdx.x % TILES, row = blockIdx.x / TILES, head = row % value_heads;
    int warp = threadIdx.x >> 5, lane = lane_id(), column = tile * 32 + lane;
    i64 key_row = (i64)(row / value_heads) * (value_heads / GROUPS) + head / GROUPS;
    for (int i = threadIdx.x; i < KEY_DIM; i += 128) {
        keys[i] = to_float(k[key_row * KEY_DIM + i]);
        queries[i] = to_float(q[key_row * KEY_DIM + i]);
    }
    bool inside = column < VALUE_DIM;
    i64 offset = (i64)row * KEY_DIM * VALUE_DIM + column;
    float s[STEP_ROWS];
#pragma unroll
    for (int i = 0; i < STEP_ROWS; i++) {
        int key = warp * STEP_ROWS + i;
        s[i] = initial_state && inside && key < KEY_DIM ? initial_state[offset + (i64)key * VALUE_DIM] : 0.0f;
    }
    float decay = log_decay ? expf(log_decay[row]) : 1.0f, strength = beta ? write_strength(beta[row], 0.0f) : 1.0f;
    __syncthreads();

    float read = 0;
#pragma unroll
    for (int i = 0; i < STEP_ROWS; i++) {
        int key = warp * STEP_ROWS + i;
        s[i] *= decay;
        if (key < KEY_DIM) read += s[i] * keys[key];
    }
    sums[warp][lane] = read;
    __syncthreads();
    read = sums[0][lane] + sums[1][lane] + sums[2][lane] + sums[3][lane];
    float value = inside ? to_float(v[(i64)row * VALUE_DIM + column]) : 0.0f;
    float u = strength * (value - (ERASES ? read : 0.0f)), o = 0;
#pragma unroll
    for (int i = 0; i < STEP_ROWS; i++) {
        int key = warp * STEP_ROWS + i;
        if (key < KEY_DIM) {
            s[i] += keys[key] * u;
            o += s[i] * queries[key];
            if (inside) final_state[offset + (i64)key * VALUE_DIM] = s[i];
        }
    }
    __syncthreads();
    sums[warp][lane] = o;
    __syncthreads();
    if (warp == 0 && inside)
        from_float(&out[(i64)row * VALUE_DIM + column],
                   scale * (sums[0][lane] + sums[1][lane] + sums[2][lane] + sums[3][lane]));
}
