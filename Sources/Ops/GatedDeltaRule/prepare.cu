// Before the scans, for every chunk and value head by itself:
//   b_i = Σ_{m ≤ i} g_m,  G_ij = e^(b_i − b_j) for i ≥ j
//   A = (I + strictly lower (β_i k_i·k_j))⁻¹,  inverse = G ⊙ A,  scores = s · G ⊙ (Q Kᵀ)
// In bfloat16 what rounding leaves of the inverse stands, transposed, above its diagonal (`chunk.cuh`). Without erasing A = I.
// The inverse is gate-free, so its entries are at most β. It is computed in float32 (in the float32 form in double, from
// products in double: with correlated keys it is where accuracy is lost). Sixteen-row diagonal blocks by forward
// substitution, one thread a column, then merged twice: [A1 0; −A2 L21 A1, A2].

// The last n with first[n] ≤ index, of `count` increasing numbers.
DEVICE int owner(const int *first, int count, int index) {
    int low = 0, high = count;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (first[middle] <= index) low = middle;
        else high = middle;
    }
    return low;
}

// Fills the tables of chunks and of segments for sequences of `length` tokens each, or packed ones with `boundaries`
// [sequences + 1]. A segment has `most` chunks, the last one of a sequence up to that many; a sequence without tokens has
// one without chunks. first_chunk and first_segment are [sequences + 1].
KERNEL(gated_delta_rule_chunk_table)
(Chunk *chunks, int *first_chunk, Segment *segments, int *first_segment, const int *boundaries, int sequences,
 int length, int capacity, int segment_capacity, int most) {
    __shared__ int chunk_counts[256], segment_counts[256];
    __shared__ int chunk_carry, segment_carry;
    if (threadIdx.x == 0) chunk_carry = segment_carry = 0;
    __syncthreads();
    for (int base = 0; base < sequences; base += 256) {
        int n = base + threadIdx.x, rows = 0;
        if (n < sequences) rows = boundaries ? boundaries[n + 1] - boundaries[n] : length;
        int count = (rows + CHUNK - 1) / CHUNK, parts = n < sequences ? max(1, (count + most - 1) / most) : 0;
        chunk_counts[threadIdx.x] = count;
        segment_counts[threadIdx.x] = parts;
        __syncthreads();
        for (int step = 1; step < 256; step *= 2) {
            int more_chunks = threadIdx.x >= step ? chunk_counts[threadIdx.x - step] : 0;
            int more_segments = threadIdx.x >= step ? segment_counts[threadIdx.x - step] : 0;
            __syncthreads();
            chunk_counts[threadIdx.x] += more_chunks;
            segment_counts[threadIdx.x] += more_segments;
            __syncthreads();
        }
        if (n < sequences) {
            first_chunk[n] = chunk_carry + chunk_counts[threadIdx.x] - count;
            first_segment[n] = segment_carry + segment_counts[threadIdx.x] - parts;
        }
        __syncthreads();
        if (threadIdx.x == 255) chunk_carry += chunk_counts[255], segment_carry += segment_counts[255];
        __syncthreads();
    }
    if (threadIdx.x == 0) first_chunk[sequences] = chunk_carry, first_segment[sequences] = segment_carry;
    __syncthreads();
    for (int c = threadIdx.x; c < capacity; c += 256) {
        Chunk chunk = {0, 0, 0, 0};
        if (c < chunk_carry) {
            int n = owner(first_chunk, sequences, c), within = (c - first_chunk[n]) * CHUNK;
            int start = boundaries ? boundaries[n] : n * length;
            int rows = boundaries ? boundaries[n + 1] - start : length;
            chunk = {start + within, min(CHUNK, rows - within), n, 0};
        }
        chunks[c] = chunk;
    }
    for (int s = threadIdx.x; s < segment_capacity; s += 256) {
        Segment segment = {0, 0, 0, -1};
        if (s < segment_carry) {
            int n = owner(first_segment, sequences, s), part = s - first_segment[n];
            int begin = first_chunk[n] + part * most, end = first_chunk[n + 1];
            segment = {n, begin, min(end, begin + most),
                       (part == 0 ? FIRST_SEGMENT : 0) | (s + 1 == first_segment[n + 1] ? LAST_SEGMENT : 0)};
        }
        segments[s] = segment;
    }
}

#if ELEMENT_BFLOAT16
typedef float solver;
#else
typedef double solver;
#endif
constexpr int SOLVE_PITCH = CHUNK + 4;

struct __align__(16) Quad {
    solver at[4];
};

// to = sign · left · right, SIZE × SIZE, by THREADS threads of which this is number `thread`. One of the factors is lower
// triangular (LEFT: left), so that only a part of the sum is there.
template <int SIZE, int THREADS, bool LEFT>
DEVICE void multiply_block(solver *to, const solver *left, const solver *right, solver sign, int thread) {
    constexpr int OUTPUTS = SIZE * SIZE / THREADS;  // 4 or 8: rows of 4 columns
    constexpr int ROWS = OUTPUTS / 4;
    int row = thread / (SIZE / 4) * ROWS, column = thread % (SIZE / 4) * 4;
    solver sum[ROWS][4] = {};
    int begin = LEFT ? 0 : column, end = LEFT ? row + ROWS : SIZE;
#pragma unroll 4
    for (int k = begin; k < end; k++) {
        Quad r = *(const Quad *)(right + k * SOLVE_PITCH + column);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            solver l = left[(row + i) * SOLVE_PITCH + k];
#pragma unroll
            for (int j = 0; j < 4; j++) sum[i][j] += l * r.at[j];
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        Quad out;
#pragma unroll
        for (int j = 0; j < 4; j++) out.at[j] = sign * sum[i][j];
        *(Quad *)(to + (row + i) * SOLVE_PITCH + column) = out;
    }
}

// inverse = (I + lower)⁻¹ in place of zeros; `lower` loses what lies above the blocks already merged.
DEVICE void invert(solver *inverse, solver *lower, solver *scratch) {
    int thread = threadIdx.x;
    if (thread < CHUNK) {
        int block = thread / 16 * 16, column = thread % 16;
        solver x[16];
#pragma unroll
        for (int i = 0; i < 16; i++) {
            solver sum = 0;
#pragma unroll
            for (int m = 0; m < i; m++) sum += lower[(block + i) * SOLVE_PITCH + block + m] * x[m];
            x[i] = i == column ? (solver)1 : i < column ? (solver)0 : -sum;
        }
#pragma unroll
        for (int i = 0; i < 16; i++) inverse[(block + i) * SOLVE_PITCH + block + column] = x[i];
    }
    __syncthreads();
    {
        int pair = thread / 64 * 32, local = thread % 64;
        solver *product = scratch + pair * SOLVE_PITCH;
        multiply_block<16, 64, false>(product, lower + (pair + 16) * SOLVE_PITCH + pair, inverse + pair * SOLVE_PITCH + pair,
                               1, local);
        __syncthreads();
        multiply_block<16, 64, true>(inverse + (pair + 16) * SOLVE_PITCH + pair,
                               inverse + (pair + 16) * SOLVE_PITCH + pair + 16, product, -1, local);
        __syncthreads();
    }
    multiply_block<32, 128, false>(scratch, lower + 32 * SOLVE_PITCH, inverse, 1, thread);
    __syncthreads();
    multiply_block<32, 128, true>(inverse + 32 * SOLVE_PITCH, inverse + 32 * SOLVE_PITCH + 32, scratch, -1, thread);
    __syncthreads();
}

constexpr int PART_PITCH = KEY_PART + PAD;

// Grid: one block of 128 threads a slot. Shared: two tiles [CHUNK][PART_PITCH], or two matrices [CHUNK][SOLVE_PITCH]
// and one of half the rows in their place.
KERNEL(gated_delta_rule_forward_prepare)
(element *inverse, element *scores, float *gates, const element *q, const element *k, const float *log_decay,
 const float *beta, const Chunk *chunks, int value_heads, float scale) {
    extern __shared__ __align__(16) unsigned char shared[];
    __shared__ float cumulative[2 * CHUNK], strength[CHUNK];
    element *q_tile = (element *)shared, *k_tile = q_tile + CHUNK * PART_PITCH;
    int slot = blockIdx.x, head = slot % value_heads, key_heads = value_heads / GROUPS;
    Chunk chunk = chunks[slot / value_heads];
    if (chunk.rows == 0) return;
    int warp = threadIdx.x >> 5, lane = lane_id(), g = lane >> 2, t = lane & 3;

    i64 key_offset = ((i64)chunk.token * key_heads + head / GROUPS) * KEY_DIM;
    auto load_part = [&](int first) {
        load_tile<CHUNK, KEY_PART, PART_PITCH, 128, KEY_ALIGNED>(q_tile, q + key_offset + first, (i64)key_heads * KEY_DIM,
                                                                 chunk.rows, KEY_DIM - first);
        load_tile<CHUNK, KEY_PART, PART_PITCH, 128, KEY_ALIGNED>(k_tile, k + key_offset + first, (i64)key_heads * KEY_DIM,
                                                                 chunk.rows, KEY_DIM - first);
        copy_commit();
    };
    load_part(0);

    // Gates, while the tiles arrive. Missing rows repeat the last sum and write nothing. β = 0, or below, is taken as 1e-15:
    // nothing is written to the state that float32 would notice, and ∂β stays a quotient of what was stored.
    if (warp == 0) {
        double first = 0, second = 0;
        if (log_decay) {
            const float *from = log_decay + (i64)chunk.token * value_heads + head;
            if (2 * lane < chunk.rows) first = from[(i64)(2 * lane) * value_heads];
            if (2 * lane + 1 < chunk.rows) second = from[(i64)(2 * lane + 1) * value_heads];
        }
        double sum = first + second;
#pragma unroll
        for (int step = 1; step < 32; step *= 2) {
            double below = __shfl_up_sync(FULL_MASK, sum, step);
            if (lane >= step) sum += below;
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            double b = i ? sum : sum - second;
            cumulative[2 * lane + i] = (float)b;
            cumulative[CHUNK + 2 * lane + i] = (float)(b - (float)b);
        }
    } else if (warp == 1) {
#pragma unroll
        for (int i = lane; i < CHUNK; i += 32) {
            float value = 0;
            if (i < chunk.rows) value = beta ? write_strength(beta[(i64)(chunk.token + i) * value_heads + head], 1e-15f) : 1.0f;
            strength[i] = value;
        }
    }
    copy_wait<0>();
    __syncthreads();
    if (threadIdx.x < CHUNK) {
        float *out = gates + (i64)slot * GATES + threadIdx.x;
        out[0] = cumulative[threadIdx.x];
        out[CHUNK] = cumulative[CHUNK + threadIdx.x];
        out[2 * CHUNK] = exponential(cumulative[threadIdx.x]);
        out[3 * CHUNK] = decay_between(cumulative_at(cumulative, CHUNK - 1), cumulative_at(cumulative, threadIdx.x));
        out[4 * CHUNK] = strength[threadIdx.x];
    }

    // Sixteen rows a warp: K Kᵀ and Q Kᵀ, the column blocks that are not wholly above the diagonal.
    Accumulator kk[8], qk[8];
#pragma unroll
    for (int n = 0; n < 8; n++) clear(kk[n]), clear(qk[n]);
#if !ELEMENT_BFLOAT16 && ERASES
    double exact[CHUNK * CHUNK / 128] = {};
#endif
#pragma unroll
    for (int part = 0; part < KEY_SPLITS; part++) {
        if (part > 0) {
            load_part(part * KEY_PART);
            copy_wait<0>();
            __syncthreads();
        }
#pragma unroll 2
        for (int step = 0; step < KEY_PART / 16; step++) {
            FragmentA from_k = load_a<PART_PITCH>(k_tile, warp * 16, step * 16);
            FragmentA from_q = load_a<PART_PITCH>(q_tile, warp * 16, step * 16);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                if (n > warp) continue;
                FragmentB b0, b1;
                load_b<PART_PITCH>(b0, b1, k_tile, n * 16, step * 16);
                multiply(kk[2 * n], from_k, b0);
                multiply(kk[2 * n + 1], from_k, b1);
                multiply(qk[2 * n], from_q, b0);
                multiply(qk[2 * n + 1], from_q, b1);
            }
        }
#if !ELEMENT_BFLOAT16 && ERASES
#pragma unroll
        for (int i = 0; i < CHUNK * CHUNK / 128; i++) {
            int row = (threadIdx.x + 128 * i) / CHUNK, column = threadIdx.x % CHUNK;
            if (row > column)
                for (int key = 0; key < KEY_PART; key++)
                    exact[i] += (double)k_tile[row * PART_PITCH + key] * k_tile[column * PART_PITCH + key];
        }
#endif
        __syncthreads();
    }

    solver *lower = (solver *)shared, *solved = lower + CHUNK * SOLVE_PITCH, *scratch = solved + CHUNK * SOLVE_PITCH;
    element *scores_out = scores + (i64)slot * CHUNK * CHUNK;
    Cumulative rows[2];
#pragma unroll
    for (int i = 0; i < 2; i++) rows[i] = cumulative_at(cumulative, warp * 16 + g + i * 8);
#pragma unroll
    for (int n = 0; n < 8; n++) {
        Cumulative columns[2];
#pragma unroll
        for (int i = 0; i < 2; i++) columns[i] = cumulative_at(cumulative, n * 8 + 2 * t + i);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            int row = warp * 16 + g + (i >> 1) * 8, column = n * 8 + 2 * t + (i & 1);
            lower[row * SOLVE_PITCH + column] = row > column ? strength[row] * kk[n].at[i] : 0.0f;
            solved[row * SOLVE_PITCH + column] = !ERASES && row == column ? 1 : 0;
            qk[n].at[i] = row >= column ? scale * decay_between(rows[i >> 1], columns[i & 1]) * qk[n].at[i] : 0.0f;
        }
        store_rows<true>(scores_out + warp * 16 * CHUNK + n * 8, CHUNK, qk[n], 16, 8);
    }
    __syncthreads();
#if !ELEMENT_BFLOAT16 && ERASES
#pragma unroll
    for (int i = 0; i < CHUNK * CHUNK / 128; i++) {
        int row = (threadIdx.x + 128 * i) / CHUNK, column = threadIdx.x % CHUNK;
        lower[row * SOLVE_PITCH + column] = strength[row] * exact[i];
    }
    __syncthreads();
#endif
    if (ERASES) invert(solved, lower, scratch);

    element *inverse_out = inverse + (i64)slot * CHUNK * CHUNK;
    Cumulative own[4];  // a thread's four columns are the same in every row it writes
#pragma unroll
    for (int j = 0; j < 4; j++) own[j] = cumulative_at(cumulative, threadIdx.x * 4 % CHUNK + j);
#pragma unroll 4
    for (int i = threadIdx.x * 4; i < CHUNK * CHUNK; i += 128 * 4) {
        int row = i / CHUNK, column = i % CHUNK;
        Cumulative current = cumulative_at(cumulative, row);
        __align__(16) element out[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            bool below = row >= column + j;
            float between = (current.high - own[j].high) + (current.low - own[j].low);
            float decay = exponential(below ? between : -between);
            int lower_row = below ? row : column + j, lower_column = below ? column + j : row;
            float value = decay * (float)solved[lower_row * SOLVE_PITCH + lower_column];
            from_float(&out[j], below ? value : value - rounded(value));
        }
#if ELEMENT_BFLOAT16
        *(uint2 *)(inverse_out + i) = *(uint2 *)out;
#else
        *(float4 *)(inverse_out + i) = *(float4 *)out;
#endif
    }
}
