// Rows of a table by tokens. TABLE is the table's type, VECTOR elements travel together. A token outside of the vocabulary
// gives NaN and no gradient.
//
// Backward: positions are sorted by word, those of a word in the order of the text. The sorted positions are cut into pieces
// of equal length, however often a word occurs. A piece adds up its rows word by word; sums of words that go on in other
// pieces are added, piece after piece, by a second kernel.

// A warp a row.
KERNEL(embedding_forward)(element *y, const int *tokens, const TABLE *table, int count, int vocabulary, int width) {
    int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32;
    if (row >= count) return;
    int token = tokens[row];
    bool inside = token >= 0 && token < vocabulary;
    const TABLE *from = table + (i64)(inside ? token : 0) * width;
    element *to = y + (i64)row * width;
#pragma unroll 4
    for (int i = lane_id() * VECTOR; i < width; i += 32 * VECTOR) {
        Floats<VECTOR> v;
        load_vector(v, from + i);
        if (!inside)
#pragma unroll
            for (int j = 0; j < VECTOR; j++) v.at[j] = __int_as_float(0x7fc00000);
        store_vector(to + i, v);
    }
}

constexpr int BLOCK_WORDS = 256, SORT_WARPS = 32;

// A block owns BLOCK_WORDS words and goes through all tokens twice, each warp through its own stretch of the text: first
// counting, then placing. Counters of a warp are its own, so the order is that of the text.
BOUNDED_KERNEL(embedding_backward_sort, 32 * SORT_WARPS, 1)
(int *positions, int *starts, int *counts, const int *tokens, int count, int vocabulary) {
    __shared__ int found[SORT_WARPS][BLOCK_WORDS], before[SORT_WARPS], totals[BLOCK_WORDS];
    int warp = threadIdx.x / 32, lane = lane_id(), first = blockIdx.x * BLOCK_WORDS;
    int words = min(BLOCK_WORDS, vocabulary - first);
    int stretch = (count + 32 * SORT_WARPS - 1) / (32 * SORT_WARPS) * 32;
    int begin = min(count, warp * stretch), end = min(count, begin + stretch);
    for (int i = lane; i < BLOCK_WORDS; i += 32) found[warp][i] = 0;
    int smaller = 0;
    // Loads of 8 tokens a lane are under way at a time.
    auto each = [&](auto visit) {
        for (int base = begin; base < end; base += 256) {
            int token[8];
#pragma unroll
            for (int k = 0; k < 8; k++) {
                int at = base + 32 * k + lane;
                token[k] = at < end ? tokens[at] : -1;
            }
#pragma unroll
            for (int k = 0; k < 8; k++) {
                int word = token[k] - first;
                bool own = token[k] >= first && word < words;
                if (token[k] >= 0 && token[k] < first) smaller++;
                u32 same = __ballot_sync(FULL_MASK, own);
                if (same == 0) continue;
                // Lanes with the same word as this one.
#pragma unroll
                for (int bit = 1; bit < BLOCK_WORDS; bit *= 2) {
                    u32 set = __ballot_sync(FULL_MASK, word & bit);
                    same &= word & bit ? set : ~set;
                }
                __syncwarp();
                int rank = __popc(same & ((1u << lane) - 1)), next = own ? found[warp][word] : 0;
                __syncwarp();
                visit(own, next + rank, base + 32 * k + lane);
                if (own && rank == 0) found[warp][word] = next + __popc(same);
            }
        }
    };
    __syncwarp();
    each([](bool, int, int) {});
#pragma unroll
    for (int step = 16; step > 0; step /= 2) smaller += __shfl_xor_sync(FULL_MASK, smaller, step);
    if (lane == 0) before[warp] = smaller;
    __syncthreads();
    // Where each warp's positions of each word start: smaller words first, then earlier warps.
    int own = threadIdx.x, total = 0;
    if (own < BLOCK_WORDS) {
        for (int i = 0; i < SORT_WARPS; i++) total += found[i][own];
        totals[own] = total;
    }
    for (int step = 1; step < BLOCK_WORDS; step *= 2) {
        __syncthreads();
        int add = own < BLOCK_WORDS && own >= step ? totals[own - step] : 0;
        __syncthreads();
        if (own < BLOCK_WORDS) totals[own] += add;
    }
    if (own < BLOCK_WORDS) {
        int start = totals[own] - total;
        for (int i = 0; i < SORT_WARPS; i++) start += before[i];
        if (own < words) starts[first + own] = start, counts[first + own] = total;
        for (int i = 0; i < SORT_WARPS; i++) {
            int here = found[i][own];
            found[i][own] = start;
            start += here;
        }
    }
    __syncthreads();
    each([&](bool own, int to, int position) {
        if (own) positions[to] = position;
    });
}

constexpr int PIECE = 64, PIECE_THREADS = 128, AHEAD = 8;

// Sums of the rows of piece blockIdx.x, for the channels of blockIdx.y. A word with all its positions in the piece is written to
// `dtable`; otherwise `partial` [pieces][2][width] takes the sum: first of the word that the piece before began, second of the
// word that goes on in the piece after (and did not begin before).
KERNEL(embedding_backward_pieces)
(float *dtable, float *partial, const element *dy, const int *positions, const int *tokens, const int *starts,
 const int *counts, int vocabulary, int width, int overwrite) {
    __shared__ int rows[PIECE], words[PIECE + 2];
    int total = starts[vocabulary - 1] + counts[vocabulary - 1];
    int first = blockIdx.x * PIECE, count = min(PIECE, total - first);
    if (count <= 0) return;
    for (int i = threadIdx.x; i < count + 2; i += PIECE_THREADS) {
        int at = first + i - 1, row = at >= 0 && at < total ? positions[at] : -1;
        words[i] = row >= 0 ? tokens[row] : -1;
        if (i > 0 && i <= count) rows[i - 1] = row;
    }
    __syncthreads();
    int channel = (blockIdx.y * PIECE_THREADS + threadIdx.x) * VECTOR;
    if (channel >= width) return;
    Floats<VECTOR> sum = {};
    bool begins = words[0] != words[1];
#pragma unroll 1
    for (int base = 0; base < count; base += AHEAD) {
        Packed<element, VECTOR> ahead[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            ahead[i] = fetch<VECTOR>(dy + (i64)rows[min(base + i, count - 1)] * width + channel);
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            if (base + i >= count) break;
            Floats<VECTOR> row = widen(ahead[i]);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) sum.at[j] += row.at[j];
            int word = words[base + i + 1];
            bool ends = words[base + i + 2] != word;
            if (!ends && base + i + 1 < count) continue;
            bool whole = begins && ends;
            float *to = whole ? dtable + (i64)word * width : partial + (2 * (i64)blockIdx.x + (begins ? 1 : 0)) * width;
            if (whole && !overwrite) {
                Floats<VECTOR> old;
                load_vector(old, to + channel);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) sum.at[j] += old.at[j];
            }
            store_vector(to + channel, sum);
            sum = {};
            begins = true;
        }
    }
}

constexpr int WORDS_A_BLOCK = 8, WORD_VECTOR = VECTOR > 1 ? 4 : 1;

// Words of several pieces: their sums, in order. Words that do not occur: zeros where `overwrite`. Grid:
// (⌈vocabulary / WORDS_A_BLOCK⌉, ⌈width / (256 WORD_VECTOR)⌉), 256 threads.
KERNEL(embedding_backward_words)
(float *dtable, const float *partial, const int *starts, const int *counts, int vocabulary, int width, int overwrite) {
    __shared__ int start[WORDS_A_BLOCK], size[WORDS_A_BLOCK];
    int first = blockIdx.x * WORDS_A_BLOCK, words = min(WORDS_A_BLOCK, vocabulary - first);
    if (threadIdx.x < words) start[threadIdx.x] = starts[first + threadIdx.x], size[threadIdx.x] = counts[first + threadIdx.x];
    __syncthreads();
    int channel = (blockIdx.y * 256 + threadIdx.x) * WORD_VECTOR;
    if (channel >= width) return;
    for (int i = 0; i < words; i++) {
        int from = start[i] / PIECE, last = (start[i] + size[i] - 1) / PIECE;
        float *to = dtable + (i64)(first + i) * width + channel;
        Floats<WORD_VECTOR> sum = {};
        if (size[i] == 0 ? !overwrite : from == last) continue;
        if (size[i] > 0) {
            const float *part = partial + 2 * (i64)from * width + channel;
            load_vector(sum, part + width);
#pragma unroll 8
            for (int piece = from + 1; piece <= last; piece++) {
                part += 2 * (i64)width;
                Floats<WORD_VECTOR> more;
                load_vector(more, part);
#pragma unroll
                for (int j = 0; j < WORD_VECTOR; j++) sum.at[j] += more.at[j];
            }
            if (!overwrite) {
                Floats<WORD_VECTOR> old;
                load_vector(old, to);
#pragma unroll
                for (int j = 0; j < WORD_VECTOR; j++) sum.at[j] += old.at[j];
            }
        }
        store_vector(to, sum);
    }
}
