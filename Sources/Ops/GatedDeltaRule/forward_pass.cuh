// The pass forwards, in tiles and stages of `scan.cuh`.

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
