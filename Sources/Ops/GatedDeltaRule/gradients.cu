// Gradients of q, k, β and the decay, for every chunk by itself. A block owns a chunk, a key head and GRADIENT_TILE key
// columns, and adds up over the value heads of that key head, in order. With s the scale, S0 the state before the chunk,
// dS1 the gradient of the state after it, and dV the gradient of v (β inside):
//   dP = s G ⊙ (dO Uᵀ)         N = −strictly lower (G ⊙ (dV Uᵀ))
//   dQ = s γ (dO S0ᵀ) + dP K    dK = −γ (dV S0ᵀ) + ρ (U dS1ᵀ) + dPᵀ Q + (N + Nᵀ) K
//   H  = strictly lower (dP ⊙ Q Kᵀ + N ⊙ K Kᵀ), in float32
//   db_i = Σ_j H_ij − Σ_j H_ji + q_i·dQx_i + k_i·dKx_i − k_i·dKs_i,  db_last += Σ k·dKs + e^B ⟨dS1, S0⟩
//   dβ_i = (dV Uᵀ)_ii / β_i²
// Without erasing N and the terms with γ dV are zero.
// Warps 0–3 hold dP, N and dQ of sixteen rows each, warps 4–7 the two parts of dK. Blocks stay and take one item (chunk,
// key head, key tile) after the other, so that tiles of the next item arrive while this one is finished (STAGES 2).

constexpr int GRADIENT_TILES = (KEY_TILE + 127) / 128;
constexpr int GRADIENT_TILE = (KEY_TILE / 16 + GRADIENT_TILES - 1) / GRADIENT_TILES * 16;
constexpr int GRADIENT_PITCH = GRADIENT_TILE + PAD;
constexpr int STEP = 64;  // value columns a stage
constexpr int STEPS = (VALUE_DIM + STEP - 1) / STEP;
constexpr int STEP_PITCH = STEP + PAD;
constexpr int PARTS = GRADIENT_TILE / 8;
constexpr int UNROLL = sizeof(element) == 2 ? 8 : 1;  // float32 products are calls: unrolled they only compile longer

struct GradientStage {
    element solved[CHUNK * STEP_PITCH];
    element d_out[CHUNK * STEP_PITCH];
    element dv[CHUNK * STEP_PITCH];
    element state[STEP * GRADIENT_PITCH];           // S0ᵀ: [value][key]
    element state_gradient[STEP * GRADIENT_PITCH];  // dS1ᵀ
};

struct GradientShared {
    element q[STAGES][CHUNK * GRADIENT_PITCH];
    element k[STAGES][CHUNK * GRADIENT_PITCH];
    GradientStage stages[STAGES];
    float gates[GATES];
    float row_h[CHUNK], row_q[CHUNK], row_x[CHUNK], row_s[CHUNK];
    float column_h[4][CHUNK];
    float state_dot[4];
};

DEVICE void block_barrier() { asm volatile("bar.sync 0;" ::: "memory"); }

// Row sums of a · (elements of `tile`) over the tile's columns, for rows g and g + 8 of this warp's sixteen.
DEVICE void row_dots(float *to, const Accumulator *a, const element *tile, int row) {
    int g = lane_id() >> 2, t = lane_id() & 3;
    float upper = 0, lower = 0;
#pragma unroll
    for (int n = 0; n < PARTS; n++)
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int column = n * 8 + 2 * t + i;
            upper += a[n].at[i] * to_float(tile[(row + g) * GRADIENT_PITCH + column]);
            lower += a[n].at[2 + i] * to_float(tile[(row + g + 8) * GRADIENT_PITCH + column]);
        }
#pragma unroll
    for (int step = 1; step < 4; step *= 2) {
        upper += __shfl_xor_sync(FULL_MASK, upper, step);
        lower += __shfl_xor_sync(FULL_MASK, lower, step);
    }
    if (t == 0) to[row + g] = upper, to[row + g + 8] = lower;
}

// Multiplies rows g and g + 8 by a factor each.
DEVICE void scale_rows(Accumulator &c, float upper, float lower) {
    c.at[0] *= upper, c.at[1] *= upper, c.at[2] *= lower, c.at[3] *= lower;
}

// c (16 × GRADIENT_TILE) += a · rows step·16 … of a tile [·][PITCH]
DEVICE void multiply_rows(Accumulator *c, const FragmentA &a, const element *tile, int step) {
#pragma unroll
    for (int n = 0; n < PARTS / 2; n++) {
        FragmentB b0, b1;
        load_b_transposed<GRADIENT_PITCH>(b0, b1, tile, n * 16, step * 16);
        multiply(c[2 * n], a, b0);
        multiply(c[2 * n + 1], a, b1);
    }
}

// Where an item lies.
struct GradientItem {
    Chunk chunk;
    int index, key_head, key_column;
};

DEVICE GradientItem find_item(const Chunk *chunks, int number, int key_heads) {
    GradientItem item;
    item.key_column = number % GRADIENT_TILES * GRADIENT_TILE;
    item.key_head = number / GRADIENT_TILES % key_heads;
    item.index = number / GRADIENT_TILES / key_heads;
    item.chunk = chunks[item.index];
    return item;
}

// Items: chunks × key heads × key tiles. Grid: any number of blocks; 256 threads.
extern "C" __global__ void __launch_bounds__(256, 1)
#if ELEMENT_BFLOAT16
gated_delta_rule_backward_gradients_bfloat16
#else
gated_delta_rule_backward_gradients_float32
#endif
(element *dq, element *dk, float *d_beta, float *d_cumulative, const element *q, const element *k,
 const element *solved, const element *d_out, const element *dv, const element *states,
 const element *state_gradients, const float *gates, const Chunk *chunks, int key_heads, i64 tokens, float scale,
 int items) {
    extern __shared__ __align__(16) unsigned char shared_bytes[];
    GradientShared &shared = *(GradientShared *)shared_bytes;
    int value_heads = key_heads * GROUPS;
    int warp = threadIdx.x >> 5, lane = lane_id(), g = lane >> 2, t = lane & 3;
    bool first_role = warp < 4;
    int row = (warp & 3) * 16;
    i64 key_stride = (i64)key_heads * KEY_DIM, value_stride = (i64)value_heads * VALUE_DIM;

    // Step `step` of an item: 64 value columns of one value head; the first step also brings q and k.
    auto load_step = [&](const GradientItem &item, int step, int buffer, int key_buffer) {
        GradientStage &stage = shared.stages[buffer];
        int head = item.key_head * GROUPS + step / STEPS, column = step % STEPS * STEP;
        int rows = item.chunk.rows, columns = VALUE_DIM - column, key_columns = KEY_DIM - item.key_column;
        i64 values = ((i64)item.chunk.token * value_heads + head) * VALUE_DIM + column;
        i64 state = (((i64)item.index * value_heads + head) * VALUE_DIM + column) * KEY_DIM + item.key_column;
        if (step == 0) {
            i64 keys = ((i64)item.chunk.token * key_heads + item.key_head) * KEY_DIM + item.key_column;
            load_tile<CHUNK, GRADIENT_TILE, GRADIENT_PITCH, 256, KEY_ALIGNED>(shared.q[key_buffer], q + keys, key_stride,
                                                                              rows, key_columns);
            load_tile<CHUNK, GRADIENT_TILE, GRADIENT_PITCH, 256, KEY_ALIGNED>(shared.k[key_buffer], k + keys, key_stride,
                                                                              rows, key_columns);
        }
        load_tile<CHUNK, STEP, STEP_PITCH, 256, VALUE_ALIGNED>(stage.solved, solved + values, value_stride, rows,
                                                               columns);
        load_tile<CHUNK, STEP, STEP_PITCH, 256, VALUE_ALIGNED>(stage.d_out, d_out + values, value_stride, rows, columns);
        load_tile<CHUNK, STEP, STEP_PITCH, 256, VALUE_ALIGNED>(stage.dv, dv + values, value_stride, rows, columns);
        load_tile<STEP, GRADIENT_TILE, GRADIENT_PITCH, 256, KEY_ALIGNED>(stage.state, states + state, KEY_DIM, columns,
                                                                         key_columns);
        load_tile<STEP, GRADIENT_TILE, GRADIENT_PITCH, 256, KEY_ALIGNED>(
            stage.state_gradient, state_gradients + state, KEY_DIM, columns, key_columns);
        copy_commit();
    };

    GradientItem next = find_item(chunks, min((int)blockIdx.x, items - 1), key_heads);
    int number = 0, key_buffer = 0;  // steps so far, and which q and k are this item's
    if (STAGES == 2 && blockIdx.x < items) load_step(next, 0, 0, 0);

#pragma unroll 1
    for (int work = blockIdx.x; work < items; work += gridDim.x, key_buffer ^= STAGES - 1) {
        GradientItem item = next;
        Chunk chunk = item.chunk;
        int tile = work % GRADIENT_TILES, key_head = item.key_head, index = item.index;
        int key_columns = KEY_DIM - item.key_column;
        element *q_tile = shared.q[key_buffer], *k_tile = shared.k[key_buffer];
        bool more = work + (int)gridDim.x < items;
        if (more) next = find_item(chunks, work + gridDim.x, key_heads);

        Accumulator total[GROUPS > 1 ? PARTS : 1];
        if (GROUPS > 1)
#pragma unroll
            for (int n = 0; n < PARTS; n++) clear(total[GROUPS > 1 ? n : 0]);

#pragma unroll 1
        for (int group = 0; group < GROUPS; group++) {
            int head = key_head * GROUPS + group;
            i64 slot = (i64)index * value_heads + head;
            // Warps 0–3: main = dQx, side = dP (0–7) and N (8–15). Warps 4–7: main = dKx, side = dKs.
            Accumulator main[PARTS], side[16];
#pragma unroll
            for (int n = 0; n < PARTS; n++) clear(main[n]);
#pragma unroll
            for (int n = 0; n < 16; n++) clear(side[n]);
            float state_dot = 0;

#pragma unroll 1
            for (int step = 0; step < STEPS; step++) {
                int at = group * STEPS + step;
                GradientStage &stage = shared.stages[STAGES == 2 ? number & 1 : 0];
                if (STAGES == 1) {
                    block_barrier();
                    load_step(item, at, 0, 0);
                }
                copy_wait<0>();
                block_barrier();
                if (step == 0)
                    for (int i = threadIdx.x; i < GATES; i += 256) shared.gates[i] = gates[slot * GATES + i];
                if (STAGES == 2) {
                    if (at + 1 < GROUPS * STEPS) {
                        load_step(item, at + 1, (number + 1) & 1, key_buffer);
                    } else if (more) {
                        load_step(next, 0, (number + 1) & 1, key_buffer ^ 1);
                    }
                }
                number++;
                if (first_role) {
#pragma unroll UNROLL
                    for (int part = 0; part < STEP / 16; part++) {
                        FragmentA a = load_a<STEP_PITCH>(stage.d_out, row, part * 16);
                        FragmentA b = load_a<STEP_PITCH>(stage.dv, row, part * 16);
#pragma unroll
                        for (int n = 0; n < 4; n++) {
                            if (n > warp) continue;
                            FragmentB b0, b1;
                            load_b<STEP_PITCH>(b0, b1, stage.solved, n * 16, part * 16);
                            multiply(side[2 * n], a, b0);
                            multiply(side[2 * n + 1], a, b1);
                            multiply(side[8 + 2 * n], b, b0);
                            multiply(side[8 + 2 * n + 1], b, b1);
                        }
                        multiply_rows(main, a, stage.state, part);
                    }
                    constexpr int LENGTH = 16 / sizeof(element), ACROSS = GRADIENT_TILE / LENGTH;
#pragma unroll 2
                    for (int i = threadIdx.x; i < STEP * ACROSS; i += 128) {
                        int place = i / ACROSS * GRADIENT_PITCH + i % ACROSS * LENGTH;
                        Floats<LENGTH> a, b;
                        load_vector(a, stage.state + place);
                        load_vector(b, stage.state_gradient + place);
#pragma unroll
                        for (int j = 0; j < LENGTH; j++) state_dot += a.at[j] * b.at[j];
                    }
                } else {
#pragma unroll UNROLL
                    for (int part = 0; part < STEP / 16; part++) {
                        if (ERASES)
                            multiply_rows(main, load_a<STEP_PITCH>(stage.dv, row, part * 16), stage.state, part);
                        multiply_rows(side, load_a<STEP_PITCH>(stage.solved, row, part * 16), stage.state_gradient, part);
                    }
                }
            }
            block_barrier();

            // dP and N leave registers in place of the last stage's tiles.
            GradientStage &last = shared.stages[STAGES == 2 ? (number - 1) & 1 : 0];
            element *dp_tile = last.d_out, *n_tile = last.dv;
            const float *gate = gate_decay(shared.gates) + row + g;
            float upper_decay = gate[0], lower_decay = gate[8];
            if (first_role) {
                const float *cumulative = shared.gates, *strength = gate_strength(shared.gates);
                Cumulative rows[2] = {cumulative_at(cumulative, row + g), cumulative_at(cumulative, row + g + 8)};
                float upper = 0, lower = 0;
#pragma unroll
                for (int n = 0; n < 4; n++) {
                    Accumulator qk[2], kk[2];
#pragma unroll
                    for (int half = 0; half < 2; half++) clear(qk[half]), clear(kk[half]);
                    if (n <= warp) {
#pragma unroll UNROLL
                        for (int part = 0; part < GRADIENT_TILE / 16; part++) {
                            FragmentB b0, b1;
                            load_b<GRADIENT_PITCH>(b0, b1, k_tile, n * 16, part * 16);
                            FragmentA a = load_a<GRADIENT_PITCH>(q_tile, row, part * 16);
                            multiply(qk[0], a, b0);
                            multiply(qk[1], a, b1);
                            a = load_a<GRADIENT_PITCH>(k_tile, row, part * 16);
                            multiply(kk[0], a, b0);
                            multiply(kk[1], a, b1);
                        }
                    }
#pragma unroll
                    for (int half = 0; half < 2; half++) {
                        Cumulative columns[2];
#pragma unroll
                        for (int i = 0; i < 2; i++)
                            columns[i] = cumulative_at(cumulative, n * 16 + half * 8 + 2 * t + i);
                        Accumulator &dp = side[2 * n + half], &dn = side[8 + 2 * n + half];
                        float h[4];
#pragma unroll
                        for (int i = 0; i < 4; i++) {
                            int r = row + g + (i >> 1) * 8, c = n * 16 + half * 8 + 2 * t + (i & 1);
                            if (r == c && d_beta && tile == 0 && r < chunk.rows)
                                d_beta[(i64)(chunk.token + r) * value_heads + head] = dn.at[i] / strength[r] / strength[r];
                            float decay = r >= c ? decay_between(rows[i >> 1], columns[i & 1]) : 0.0f;
                            dp.at[i] = r >= c ? scale * decay * dp.at[i] : 0.0f;
                            dn.at[i] = ERASES && r > c ? -decay * dn.at[i] : 0.0f;
                            h[i] = r > c ? dp.at[i] * qk[half].at[i] + dn.at[i] * kk[half].at[i] : 0.0f;
                        }
                        upper += h[0] + h[1];
                        lower += h[2] + h[3];
                        float even = h[0] + h[2], odd = h[1] + h[3];
#pragma unroll
                        for (int lanes = 4; lanes < 32; lanes *= 2) {
                            even += __shfl_xor_sync(FULL_MASK, even, lanes);
                            odd += __shfl_xor_sync(FULL_MASK, odd, lanes);
                        }
                        if (g == 0) {
                            shared.column_h[warp][n * 16 + half * 8 + 2 * t] = even;
                            shared.column_h[warp][n * 16 + half * 8 + 2 * t + 1] = odd;
                        }
                        store_rows<true>(dp_tile + row * STEP_PITCH + n * 16 + half * 8, STEP_PITCH, dp, 16, 8);
                        store_rows<true>(n_tile + row * STEP_PITCH + n * 16 + half * 8, STEP_PITCH, dn, 16, 8);
                    }
                }
#pragma unroll
                for (int lanes = 1; lanes < 4; lanes *= 2) {
                    upper += __shfl_xor_sync(FULL_MASK, upper, lanes);
                    lower += __shfl_xor_sync(FULL_MASK, lower, lanes);
                }
                if (t == 0) shared.row_h[row + g] = upper, shared.row_h[row + g + 8] = lower;
#pragma unroll
                for (int n = 0; n < PARTS; n++) scale_rows(main[n], scale * upper_decay, scale * lower_decay);
                row_dots(shared.row_q, main, q_tile, row);
                state_dot = warp_sum(state_dot);
                if (lane == 0) shared.state_dot[warp] = state_dot;
            } else {
                gate = gate_rest(shared.gates) + row + g;
                float upper_rest = gate[0], lower_rest = gate[8];
#pragma unroll
                for (int n = 0; n < PARTS; n++) {
                    scale_rows(main[n], -upper_decay, -lower_decay);
                    scale_rows(side[n], upper_rest, lower_rest);
                }
                row_dots(shared.row_x, main, k_tile, row);
                row_dots(shared.row_s, side, k_tile, row);
#pragma unroll
                for (int n = 0; n < PARTS; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) main[n].at[i] += side[n].at[i];
            }
            block_barrier();

            if (first_role) {
#pragma unroll UNROLL
                for (int step = 0; step < 4; step++)
                    if (step <= warp) multiply_rows(main, load_a<STEP_PITCH>(dp_tile, row, step * 16), k_tile, step);
            } else {
#pragma unroll UNROLL
                for (int step = 0; step < 4; step++) {
                    if (step >= warp - 4) {
                        multiply_rows(main, load_a_transposed<STEP_PITCH>(dp_tile, row, step * 16), q_tile, step);
                        multiply_rows(main, load_a_transposed<STEP_PITCH>(n_tile, row, step * 16), k_tile, step);
                    }
                    if (step <= warp - 4)
                        multiply_rows(main, load_a<STEP_PITCH>(n_tile, row, step * 16), k_tile, step);
                }
            }
            if (threadIdx.x < CHUNK && threadIdx.x < chunk.rows) {
                int i = threadIdx.x;
                float sum = shared.row_h[i] + shared.row_q[i] + shared.row_x[i] - shared.row_s[i];
#pragma unroll
                for (int w = 0; w < 4; w++) sum -= shared.column_h[w][i];
                if (i == chunk.rows - 1) {
                    float inner = 0;
                    for (int w = 0; w < 4; w++) inner += shared.state_dot[w];
                    sum += gate_decay(shared.gates)[CHUNK - 1] * inner;
                    for (int j = 0; j < CHUNK; j++) sum += shared.row_s[j];
                }
                d_cumulative[((i64)tile * tokens + chunk.token + i) * value_heads + head] = sum;
            }
            if (GROUPS > 1) {
#pragma unroll
                for (int n = 0; n < PARTS; n++)
#pragma unroll
                    for (int i = 0; i < 4; i++) total[GROUPS > 1 ? n : 0].at[i] += main[n].at[i];
            }
            if (group == GROUPS - 1) {
                i64 keys = ((i64)chunk.token * key_heads + key_head) * KEY_DIM + item.key_column;
                element *to = (first_role ? dq : dk) + keys + row * key_stride;
                const Accumulator *own = GROUPS > 1 ? total : main;
                constexpr int FOURS = PARTS / 4 * 4;
#pragma unroll
                for (int n = 0; n < FOURS; n += 4)
                    store_four_rows<KEY_ALIGNED, KEY_PAIRS>(to + n * 8, key_stride, own + n, chunk.rows - row,
                                                            key_columns - n * 8);
#pragma unroll
                for (int n = FOURS; n < PARTS; n++)
                    store_rows<KEY_PAIRS>(to + n * 8, key_stride, own[n], chunk.rows - row, key_columns - n * 8);
            }
            block_barrier();
        }
    }
}

// dg_t = Σ_{i ≥ t in the chunk} db_i, where db is the sum of its parts by key tiles. Grid: slots; CHUNK threads.
KERNEL(gated_delta_rule_backward_decay)
(float *d_log_decay, const float *d_cumulative, const Chunk *chunks, int value_heads, i64 tokens) {
    __shared__ float sums[CHUNK];
    Chunk chunk = chunks[blockIdx.x / value_heads];
    int head = blockIdx.x % value_heads, i = threadIdx.x;
    if (chunk.rows == 0) return;
    float sum = 0;
    i64 at = (i64)(chunk.token + i) * value_heads + head;
    if (i < chunk.rows)
        for (int tile = 0; tile < GRADIENT_TILES; tile++) sum += d_cumulative[tile * tokens * value_heads + at];
    sums[i] = sum;
    __syncthreads();
    for (int step = 1; step < CHUNK; step *= 2) {
        float above = i + step < CHUNK ? sums[i + step] : 0.0f;
        __syncthreads();
        sums[i] += above;
        __syncthreads();
    }
    if (i < chunk.rows) d_log_decay[at] = sums[i];
}
