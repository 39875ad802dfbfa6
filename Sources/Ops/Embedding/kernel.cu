// Rows of a table by tokens. TABLE is the table's type. A token outside of the vocabulary gives NaN and no gradient.
KERNEL(embedding_forward)(element *y, const int *tokens, const TABLE *table, i64 count, int vocabulary, int width) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count * width; i += (i64)gridDim.x * blockDim.x) {
        int token = tokens[i / width];
        bool inside = token >= 0 && token < vocabulary;
        from_float(&y[i], inside ? to_float(table[(i64)token * width + i % width]) : __int_as_float(0x7fc00000));
    }
}

// Positions of every word in the order of the text, by counting: a warp owns four words and looks through all tokens.
// First pass (`positions` null): how often each occurs. Second pass: its positions, from `starts` on.
KERNEL(embedding_backward_sort)(int *counts, int *positions, const int *starts, const int *tokens, int count, int vocabulary) {
    int warp = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31, first = warp * 4;
    if (first >= vocabulary) return;
    int found[4] = {0, 0, 0, 0};
    if (positions)
        for (int i = 0; i < 4; i++) found[i] = first + i < vocabulary ? starts[first + i] : 0;
    for (int base = 0; base < count; base += 32) {
        int token = base + lane < count ? tokens[base + lane] : -1;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 same = __ballot_sync(FULL_MASK, token == first + i);
            if (positions && token == first + i) positions[found[i] + __popc(same & ((1u << lane) - 1))] = base + lane;
            found[i] += __popc(same);
        }
    }
    if (!positions && lane < 4 && first + lane < vocabulary) {
        int mine = lane == 0 ? found[0] : lane == 1 ? found[1] : lane == 2 ? found[2] : found[3];
        counts[first + lane] = mine;
    }
}

// Exclusive sums of counts, one block of 1024 threads.
KERNEL(embedding_backward_starts)(int *starts, const int *counts, int vocabulary) {
    __shared__ int sums[1024];
    __shared__ int carry;
    int thread = threadIdx.x;
    if (thread == 0) carry = 0;
    __syncthreads();
    for (int base = 0; base < vocabulary; base += 1024) {
        int own = base + thread < vocabulary ? counts[base + thread] : 0;
        sums[thread] = own;
        __syncthreads();
        for (int step = 1; step < 1024; step *= 2) {
            int add = thread >= step ? sums[thread - step] : 0;
            __syncthreads();
            sums[thread] += add;
            __syncthreads();
        }
        if (base + thread < vocabulary) starts[base + thread] = carry + sums[thread] - own;
        __syncthreads();
        if (thread == 1023) carry += sums[1023];
        __syncthreads();
    }
}

// A block owns a word and 256 channels, and adds the rows of its positions in the order of the text.
// Grid: (vocabulary, ⌈width / 256⌉).
KERNEL(embedding_backward)
(float *dtable, const element *dy, const int *positions, const int *starts, const int *counts, int width,
 int overwrite) {
    int word = blockIdx.x, channel = blockIdx.y * 256 + threadIdx.x, count = counts[word];
    if (channel >= width || (count == 0 && !overwrite)) return;
    const int *mine = positions + starts[word];
    float sum = 0;
    int i = 0;
    for (; i + 4 <= count; i += 4) {
        float part[4];
#pragma unroll
        for (int j = 0; j < 4; j++) part[j] = to_float(dy[(i64)mine[i + j] * width + channel]);
#pragma unroll
        for (int j = 0; j < 4; j++) sum += part[j];
    }
    for (; i < count; i++) sum += to_float(dy[(i64)mine[i] * width + channel]);
    float *to = dtable + (i64)word * width + channel;
    *to = overwrite ? sum : *to + sum;
}
