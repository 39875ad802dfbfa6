// Rows of a table by tokens. TABLE is the table's type, VECTOR elements travel together. A token outside of the vocabulary
// gives NaN and no gradient.
//
// Backward: positions are sorted by word, those of a word in the order of the text. The sorted positions are cut into pieces
// of equal length, however often a word occurs. A piece adds up the rows of the words that begin in it. Words of more rows than a
// piece has are cut with the pieces, and a last kernel adds their sums, in a fixed order.

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

// A block owns BLOCK_WORDS words and looks for them in all tokens, in rounds of `stretch` (at most 1024) tokens a warp. Its own
// tokens are few: a warp first lists them, then counts. Counters of a warp are its own, so the order is that of the text.
// Shared: 32 stretch words. `words`: the words at the sorted `positions`.
BOUNDED_KERNEL(embedding_backward_sort, 32 * SORT_WARPS, 1)
(int *positions, int *words, int *starts, int *counts, const int *tokens, int count, int vocabulary, int stretch) {
    extern __shared__ __align__(16) u32 lists[];
    __shared__ int found[SORT_WARPS][BLOCK_WORDS], before[SORT_WARPS], scanned[BLOCK_WORDS / 32];
    constexpr int TOKENS = 16;
    int warp = threadIdx.x / 32, lane = lane_id(), first = blockIdx.x * BLOCK_WORDS;
    u32 mine = min(BLOCK_WORDS, vocabulary - first);
    u32 *list = lists + warp * stretch, earlier = (1u << lane) - 1;
    int listed = 0, smaller = 0;
    // Lists the own tokens of a round: word, place in the stretch; then adds the rank among those of the word.
    auto list_round = [&](int round) {
        for (int i = lane; i < BLOCK_WORDS; i += 32) found[warp][i] = 0;
        int begin = (round * SORT_WARPS + warp) * stretch, end = min(count, begin + stretch);
        listed = 0;
#pragma unroll 1
        for (int base = begin; base < end; base += 32 * TOKENS) {
            int token[TOKENS];
#pragma unroll
            for (int k = 0; k < TOKENS; k++) {
                int at = base + 32 * k + lane;
                token[k] = at < end ? tokens[at] : -1;
            }
#pragma unroll
            for (int k = 0; k < TOKENS; k++) {
                bool own = (u32)(token[k] - first) < mine;
                if ((u32)token[k] < (u32)first) smaller++;
                u32 set = __ballot_sync(FULL_MASK, own);
                if (set == 0) continue;
                if (own)
                    list[listed + __popc(set & earlier)] = (u32)(token[k] - first) << 10 | (base + 32 * k + lane - begin);
                listed += __popc(set);
            }
        }
        __syncwarp();
#pragma unroll 1
        for (int i = lane; i - lane < listed; i += 32) {
            bool own = i < listed;
            u32 entry = own ? list[i] : 0;
            int word = entry >> 10;
            // Lanes with the same word as this one.
            u32 same = __ballot_sync(FULL_MASK, own);
#pragma unroll
            for (int bit = 1; bit < BLOCK_WORDS; bit *= 2) {
                u32 set = __ballot_sync(FULL_MASK, word & bit);
                same &= word & bit ? set : ~set;
            }
            int rank = __popc(same & earlier), next = own ? found[warp][word] : 0;
            __syncwarp();
            if (own) list[i] = entry | (u32)(next + rank) << 18;
            if (own && rank == 0) found[warp][word] = next + __popc(same);
            __syncwarp();
        }
    };
    int rounds = (count + SORT_WARPS * stretch - 1) / (SORT_WARPS * stretch), own = threadIdx.x, total = 0;
#pragma unroll 1
    for (int round = 0; round < rounds; round++) {
        list_round(round);
        __syncthreads();
        if (own < BLOCK_WORDS)
#pragma unroll
            for (int i = 0; i < SORT_WARPS; i++) total += found[i][own];
        __syncthreads();
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) smaller += __shfl_xor_sync(FULL_MASK, smaller, step);
    // Where the positions of each word start: smaller words first.
    int start = total;
#pragma unroll
    for (int step = 1; step < 32; step *= 2) {
        int add = __shfl_up_sync(FULL_MASK, start, step);
        if (lane >= step) start += add;
    }
    if (lane == 0) before[warp] = smaller;
    if (own < BLOCK_WORDS && lane == 31) scanned[warp] = start;
    __syncthreads();
    if (own < BLOCK_WORDS) {
        start -= total;
        for (int i = 0; i < warp; i++) start += scanned[i];
#pragma unroll
        for (int i = 0; i < SORT_WARPS; i++) start += before[i];
        if (own < mine) starts[first + own] = start, counts[first + own] = total;
    }
#pragma unroll 1
    for (int round = 0; round < rounds; round++) {
        if (rounds > 1) list_round(round);
        __syncthreads();
        // Then earlier rounds and earlier warps.
        if (own < BLOCK_WORDS)
#pragma unroll
            for (int i = 0; i < SORT_WARPS; i++) {
                int here = found[i][own];
                found[i][own] = start;
                start += here;
            }
        __syncthreads();
        int begin = (round * SORT_WARPS + warp) * stretch;
        for (int i = lane; i < listed; i += 32) {
            u32 entry = list[i];
            int word = entry >> 10 & (BLOCK_WORDS - 1), to = found[warp][word] + (entry >> 18);
            positions[to] = begin + (entry & 1023);
            words[to] = first + word;
        }
        __syncthreads();
    }
}

#ifndef AHEAD
#define AHEAD (ELEMENT_BFLOAT16 ? 8 : 4)
#endif
#ifndef PIECES_BLOCKS
#define PIECES_BLOCKS 8
#endif
#ifndef PIECE
#define PIECE 32
#endif
#ifndef PIECE_THREADS
#define PIECE_THREADS 128
#endif
constexpr int WIDE = VECTOR > 1 ? 4 : 1;

// Sums of the rows of the words that begin in a piece, and zeros for those of words PIECE · piece … that do not occur. A word of
// more than PIECE rows is cut: `partial` [pieces][2][width] takes first the sum of the one that the piece before began, second of
// the one that goes on in the piece after (and did not begin before), whose number is `going`, else −1. Blocks of all channels of
// a piece follow each other: ⌈max(tokens, vocabulary) / PIECE⌉ · ⌈width / (PIECE_THREADS WIDE)⌉.
BOUNDED_KERNEL(embedding_backward_pieces, PIECE_THREADS, PIECES_BLOCKS)
(float *dtable, float *partial, int *going, const element *dy, const int *positions, const int *sorted, const int *starts,
 const int *counts, int tokens, int vocabulary, int width, int overwrite) {
    // Of the piece and of what may belong to it of the next; words[0] is the one before.
    __shared__ int rows[2 * PIECE], words[2 * PIECE + 2];
    __shared__ bool absent[PIECE];
    int total = starts[vocabulary - 1] + counts[vocabulary - 1];
    int across = (width + PIECE_THREADS * WIDE - 1) / (PIECE_THREADS * WIDE), piece = blockIdx.x / across;
    int slice = blockIdx.x - piece * across, first = piece * PIECE;
    for (int i = threadIdx.x; i < 2 * PIECE + 2; i += PIECE_THREADS) {
        int at = first + i - 1;
        // Loaded while `total` is.
        bool inside = at >= 0 && at < tokens;
        int word = inside ? sorted[at] : -1, row = inside ? positions[at] : 0;
        words[i] = at < total ? word : -1;
        if (i > 0 && i <= 2 * PIECE) rows[i - 1] = row;
    }
    if (threadIdx.x < PIECE) {
        int word = first + threadIdx.x;
        absent[threadIdx.x] = overwrite && word < vocabulary && counts[word] == 0;
    }
    __syncthreads();
    int channel = (slice * PIECE_THREADS + threadIdx.x) * WIDE;
    int begin = 0, end = min(PIECE, total - first);
    bool cut = false;
    if (end > 0) {
        int upper = words[1], lower = words[end];
        int upper_start = starts[upper] - first, upper_size = counts[upper];
        int lower_end = starts[lower] + counts[lower] - first, lower_size = counts[lower];
        // What the piece before adds up.
        if (upper_start < 0 && upper_size <= PIECE) begin = min(end, upper_start + upper_size);
        bool begins_here = lower_end - lower_size >= 0;
        cut = begins_here && lower_size > PIECE;
        if (begins_here && !cut) end = lower_end;
    }
    if (slice == 0 && threadIdx.x == 0 && first < tokens) going[piece] = cut ? words[PIECE] : -1;
    if (channel >= width) return;
    typedef Packed<element, WIDE> Row;
    Row ahead[2][AHEAD];
    auto fetch_rows = [&](Row(&to)[AHEAD], int base) {
        if (base >= end) return;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = min(base + i, end - 1), word = words[at + 1];
            to[i] = fetch<WIDE>(dy + (i64)rows[at] * width + channel);
            if (!overwrite && words[at + 2] != word)
                asm volatile("prefetch.global.L2 [%0];" ::"l"(dtable + (i64)word * width + channel));
        }
    };
    fetch_rows(ahead[0], begin);
    Floats<WIDE> sum = {};
    if (overwrite)
        for (int i = 0; i < PIECE; i++)
            if (absent[i]) store_vector(dtable + (i64)(first + i) * width + channel, sum);
    bool begins = words[begin] != words[begin + 1];
#pragma unroll 1
    for (int base = begin; base < end; base += 2 * AHEAD)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int from = base + half * AHEAD;
            fetch_rows(ahead[1 - half], from + AHEAD);
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                if (from + i >= end) break;
                Floats<WIDE> row = widen(ahead[half][i]);
#pragma unroll
                for (int j = 0; j < WIDE; j++) sum.at[j] += row.at[j];
                int word = words[from + i + 1];
                bool ends = words[from + i + 2] != word;
                if (!ends && from + i + 1 < end) continue;
                bool whole = begins && ends;
                float *to = whole ? dtable + (i64)word * width : partial + (2 * (i64)piece + (begins ? 1 : 0)) * width;
                if (whole && !overwrite) {
                    Floats<WIDE> old;
                    load_vector(old, to + channel);
#pragma unroll
                    for (int j = 0; j < WIDE; j++) sum.at[j] += old.at[j];
                }
                store_vector(to + channel, sum);
                sum = {};
                begins = true;
            }
        }
}

constexpr int LANES = 16;

// Words that were cut: the sums of their pieces. A block takes 32 WIDE channels and every gridDim.y-th piece; LANES threads share
// out the pieces of a word. Grid: (⌈width / (32 WIDE)⌉, any), 32 LANES threads.
BOUNDED_KERNEL(embedding_backward_words, 32 * LANES, 2)
(float *dtable, const float *partial, const int *going, const int *starts, const int *counts, int pieces, int width,
 int overwrite) {
    __shared__ int begun[32 * LANES];
    __shared__ Floats<WIDE> sums[LANES][32];
    int lane = threadIdx.x / 32, channel = (blockIdx.x * 32 + threadIdx.x % 32) * WIDE, step = gridDim.y;
    for (int base = blockIdx.y; base < pieces; base += 32 * LANES * step) {
        int own = base + threadIdx.x * step;
        __syncthreads();
        begun[threadIdx.x] = own < pieces ? going[own] : -1;
        __syncthreads();
        for (int i = 0; i < 32 * LANES && base + i * step < pieces; i++) {
            int word = begun[i], from = base + i * step;
            if (word < 0) continue;
            int last = (starts[word] + counts[word] - 1) / PIECE;
            Floats<WIDE> sum = {};
            if (channel < width)
#pragma unroll 8
                for (int piece = from + lane; piece <= last; piece += LANES) {
                    Floats<WIDE> more;
                    load_vector(more, partial + (2 * (i64)piece + (piece == from ? 1 : 0)) * width + channel);
#pragma unroll
                    for (int j = 0; j < WIDE; j++) sum.at[j] += more.at[j];
                }
            sums[lane][threadIdx.x % 32] = sum;
            __syncthreads();
            if (lane == 0 && channel < width) {
                float *to = dtable + (i64)word * width + channel;
                Floats<WIDE> old = {};
                if (!overwrite) load_vector(old, to);
#pragma unroll
                for (int k = 1; k < LANES; k++)
#pragma unroll
                    for (int j = 0; j < WIDE; j++) sum.at[j] += sums[k][threadIdx.x].at[j];
#pragma unroll
                for (int j = 0; j < WIDE; j++) sum.at[j] += old.at[j];
                store_vector(to, sum);
            }
            __syncthreads();
        }
    }
}
