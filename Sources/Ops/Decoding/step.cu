// One token of the recurrence for every sequence and value head, from the projections: keys and queries normalised, the
// gates, and the state updated in place.
//
//     q, k ← q / |q|, k / |k|     α = exp(−e^A softplus(a + dt)),  β = c σ(b)
//     u = β (v − α Sᵀk), or β v   o = s (α Sᵀq + u (k·q))          S ← α S + k uᵀ
//
// Sᵀk and Sᵀq come from one pass over S, which is read once and written once. A block owns TILE_COLUMNS value columns of one
// head; four columns a thread, TILE_COLUMNS / 4 threads side by side, the rows divided among the rest. S does not depend on
// the kernel before: it is on its way while that one ends.
//
// `mixed` [B, columns] holds q at 0, then k, v, gate, a, b as far as they are there. Macros: KEY_DIM, VALUE_DIM, GROUPS
// (value heads a key head), TILE_COLUMNS, BLOCK_WARPS; HAS_DECAY, HAS_BETA, NORMALISES, ERASES. Grid: B × HV × ⌈VALUE_DIM / TILE_COLUMNS⌉.

constexpr int THREADS = BLOCK_WARPS * 32;
constexpr int ACROSS = TILE_COLUMNS / 4, DOWN = THREADS / ACROSS;
constexpr int ROWS = (KEY_DIM + DOWN - 1) / DOWN;
// Whether the tiles of four columns a thread fit the head without a rest.
constexpr bool FULL_ROWS = KEY_DIM % DOWN == 0, FULL_COLUMNS = VALUE_DIM % TILE_COLUMNS == 0;

extern "C" __global__ void __launch_bounds__(BLOCK_WARPS * 32)
NAMED(decoding_step)
(float *out, float *state, const float *mixed, const float *a_log, const float *dt_bias, int columns, int key_heads,
 int value_heads, int decay_column, int beta_column, float strength, float scale) {
    constexpr int TILES = (VALUE_DIM + TILE_COLUMNS - 1) / TILE_COLUMNS;
    __shared__ float keys[KEY_DIM], queries[KEY_DIM], factors[5];
    __shared__ float4 partial[BLOCK_WARPS][ACROSS][2];
    int warp = threadIdx.x >> 5, lane = lane_id(), across = threadIdx.x % ACROSS, down = threadIdx.x / ACROSS;
    int tile = blockIdx.x % TILES, row = blockIdx.x / TILES, head = row % value_heads, sequence = row / value_heads;
    int column = tile * TILE_COLUMNS + across * 4;
    bool inside = FULL_COLUMNS || column < VALUE_DIM;
    float *own = state + (i64)row * KEY_DIM * VALUE_DIM + column;
    float4 s[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int key = i * DOWN + down;
        s[i] = inside && (FULL_ROWS || key < KEY_DIM) ? *(const float4 *)(own + (i64)key * VALUE_DIM) : make_float4(0, 0, 0, 0);
    }
    let_next_kernel_start();
    wait_for_kernel_before();

    const float *token = mixed + (i64)sequence * columns;
    const float *q = token + head / GROUPS * KEY_DIM, *k = q + key_heads * KEY_DIM;
    const float *v = token + 2 * key_heads * KEY_DIM + head * VALUE_DIM + column;
    float4 value = inside ? *(const float4 *)v : make_float4(0, 0, 0, 0);
    // The first warp takes q and k, their squares and their product; the last thread, in another warp, the gates.
    if (warp == 0) {
        float qq = 0, kk = 0, kq = 0;
#pragma unroll
        for (int i = lane; i < KEY_DIM; i += 32) {
            float x = q[i], y = k[i];
            queries[i] = x, keys[i] = y;
            qq += x * x, kk += y * y, kq += x * y;
        }
        qq = warp_sum(qq), kk = warp_sum(kk), kq = warp_sum(kq);
        if (lane == 0) {
            float rq = NORMALISES ? 1.0f / sqrtf(qq + 1e-6f) : 1.0f, rk = NORMALISES ? 1.0f / sqrtf(kk + 1e-6f) : 1.0f;
            factors[0] = rq, factors[1] = rk, factors[2] = kq * rq * rk;
        }
    }
    if (threadIdx.x == THREADS - 1) {
        float rate = HAS_DECAY ? expf(a_log[head]) : 0.0f, step = HAS_DECAY ? token[decay_column + head] + dt_bias[head] : 0.0f;
        factors[3] = HAS_DECAY ? expf(-rate * softplus(step)) : 1.0f;
        factors[4] = HAS_BETA ? strength * sigmoid(token[beta_column + head]) : 1.0f;
    }
    __syncthreads();

    // Sᵀk and Sᵀq, of k and q before their normalisation.
    float4 sk = make_float4(0, 0, 0, 0), sq = sk;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int key = i * DOWN + down;
        float x = FULL_ROWS || key < KEY_DIM ? keys[key] : 0.0f, y = FULL_ROWS || key < KEY_DIM ? queries[key] : 0.0f;
        sk.x += s[i].x * x, sk.y += s[i].y * x, sk.z += s[i].z * x, sk.w += s[i].w * x;
        sq.x += s[i].x * y, sq.y += s[i].y * y, sq.z += s[i].z * y, sq.w += s[i].w * y;
    }
#pragma unroll
    for (int step = ACROSS; step < 32; step *= 2) {
        sk.x += __shfl_xor_sync(FULL_MASK, sk.x, step), sk.y += __shfl_xor_sync(FULL_MASK, sk.y, step);
        sk.z += __shfl_xor_sync(FULL_MASK, sk.z, step), sk.w += __shfl_xor_sync(FULL_MASK, sk.w, step);
        sq.x += __shfl_xor_sync(FULL_MASK, sq.x, step), sq.y += __shfl_xor_sync(FULL_MASK, sq.y, step);
        sq.z += __shfl_xor_sync(FULL_MASK, sq.z, step), sq.w += __shfl_xor_sync(FULL_MASK, sq.w, step);
    }
    if (lane < ACROSS) partial[warp][lane][0] = sk, partial[warp][lane][1] = sq;
    __syncthreads();
    sk = partial[0][across][0], sq = partial[0][across][1];
#pragma unroll
    for (int w = 1; w < BLOCK_WARPS; w++) {
        float4 x = partial[w][across][0], y = partial[w][across][1];
        sk.x += x.x, sk.y += x.y, sk.z += x.z, sk.w += x.w;
        sq.x += y.x, sq.y += y.y, sq.z += y.z, sq.w += y.w;
    }

    // u = β (v − α Sᵀk), without erasing β v;  o = s (α Sᵀq + u (k·q));  S ← α S + k uᵀ
    float rq = factors[0], rk = factors[1], kq = factors[2], decay = factors[3], beta = factors[4];
    float erased = ERASES ? decay * rk : 0.0f;
    float4 u = make_float4(beta * (value.x - erased * sk.x), beta * (value.y - erased * sk.y),
                           beta * (value.z - erased * sk.z), beta * (value.w - erased * sk.w));
    if (down == 0 && inside)
        *(float4 *)(out + (i64)row * VALUE_DIM + column) =
            make_float4(scale * (decay * rq * sq.x + u.x * kq), scale * (decay * rq * sq.y + u.y * kq),
                        scale * (decay * rq * sq.z + u.z * kq), scale * (decay * rq * sq.w + u.w * kq));
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        int key = i * DOWN + down;
        if (!inside || (!FULL_ROWS && key >= KEY_DIM)) continue;
        float x = rk * keys[key];
        *(float4 *)(own + (i64)key * VALUE_DIM) =
            make_float4(decay * s[i].x + x * u.x, decay * s[i].y + x * u.y, decay * s[i].z + x * u.z,
                        decay * s[i].w + x * u.w);
    }
}
