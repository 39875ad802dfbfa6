// The pass backwards, in tiles and stages of `scan.cuh`.

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
