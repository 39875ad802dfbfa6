// Rows of a table by tokens. TABLE is the table's type, VECTOR elements travel together. A token outside of the vocabulary
// gives NaN and no gradient.
//
// Backward: positions are sorted by word, those of a word in the order of the text. The sorted positions are cut into pieces
// of equal length, however often a word occurs. A piece adds up the rows of the words that begin in it. Words of more rows than a
// piece has are cut with the pieces; the last block that is done with its part adds up the parts, in the order of the text
// whichever block that is.

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

constexpr int BLOCK_WORDS = 256, SORT_WARPS = 32, PIECE = 32;

// A block owns BLOCK_WORDS words and looks for them in all tokens, in rounds of `stretch` (at most 1024) tokens a warp. Its own
// tokens are few: a warp first lists them, then counts. Counters of a warp are its own, so the order is that of the text.
// Shared: 32 stretch words. `words`: the words at the sorted `positions`. `edges`: how many rows of a piece belong to a word that
// the piece before adds up, −1 if it goes on with one that is cut. Clears the counters of arrivals, too.
BOUNDED_KERNEL(embedding_backward_sort, 32 * SORT_WARPS, 1)
(int *positions, int *words, int *edges, int *starts, int *counts, u32 *arrivals, const int *tokens, int count,
 int vocabulary, int counters, int stretch) {
    extern __shared__ __align__(16) u32 lists[];
    __shared__ int found[SORT_WARPS][BLOCK_WORDS], before[SORT_WARPS], scanned[BLOCK_WORDS / 32];
    constexpr int TOKENS = 16;
    int warp = threadIdx.x / 32, lane = lane_id(), first = blockIdx.x * BLOCK_WORDS;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < counters; i += gridDim.x * blockDim.x) arrivals[i] = 0;
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
        // The pieces that start within a word. One of at most PIECE rows has one such piece, the others take a warp.
        int piece = (start + PIECE - 1) / PIECE, end = start + total;
        if (total <= PIECE && piece * PIECE < end) edges[piece] = piece * PIECE > start ? end - piece * PIECE : 0;
        for (u32 cut = __ballot_sync(FULL_MASK, total > PIECE); cut; cut &= cut - 1) {
            int word = __ffs(cut) - 1, from = __shfl_sync(FULL_MASK, start, word), to = __shfl_sync(FULL_MASK, end, word);
            for (int i = (from + PIECE - 1) / PIECE + lane; i * PIECE < to; i += 32) edges[i] = i * PIECE > from ? -1 : 0;
        }
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

// Rows ahead and blocks a multiprocessor where the gradient is overwritten, and where it is added to.
constexpr int WRITE_AHEAD = ELEMENT_BFLOAT16 && VECTOR > 1 ? 16 : 8, WRITE_BLOCKS = 5;
constexpr int ADD_AHEAD = 4, ADD_BLOCKS = ELEMENT_BFLOAT16 ? 8 : 5;
constexpr int PIECE_THREADS = 128, WIDE = VECTOR > 1 ? 4 : 1, GROUP_PIECES = 32, PARTS_AHEAD = 8;

// What other blocks of this launch have stored: not from the first-level cache.
DEVICE void load_stored(Floats<4> &v, const float *from) {
    asm volatile("ld.global.cg.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.at[0]), "=f"(v.at[1]), "=f"(v.at[2]), "=f"(v.at[3])
                 : "l"(from)
                 : "memory");
}
DEVICE void load_stored(Floats<1> &v, const float *from) {
    asm volatile("ld.global.cg.f32 %0, [%1];" : "=f"(v.at[0]) : "l"(from) : "memory");
}

// Counts an arrival, from `expected` − 1 back to zero, and returns how many came before. What this thread, or another ahead of
// it at a barrier, stored before is seen by whoever counts later, and behind the next barrier by that one's block.
DEVICE int arrive(u32 *counter, int expected) {
    u32 before;
    asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"((u32)expected - 1)
                 : "memory");
    return before;
}

// Sums of the rows of the words that begin in a piece, and zeros for those of words PIECE · piece … that do not occur. A word of
// more than PIECE rows is cut: `partial` [pieces][2][width] takes first the sum of the one that an earlier piece began, second of
// the one that goes on in the piece after (and did not begin before). Blocks of all channels of a piece follow each other.
//
// Who adds up the parts of a word: the last block of GROUP_PIECES pieces those of the group, the last of the groups those of
// the word. `arrivals` [pieces][3][blocks a piece]: of the group that begins with the first, with the second sum; of the word that
// begins in the piece. The last arrival leaves zero, so the counters serve the next run.
template <bool OVERWRITE, int AHEAD>
DEVICE void add_piece(
    float *dtable, float *partial, u32 *arrivals, const element *dy, const int *positions, const int *sorted,
    const int *edges, const int *starts, const int *counts, int tokens, int vocabulary, int width) {
    static_assert(PIECE == 32 && PIECE_THREADS > 2 * PIECE + 1, "a lane a position, a thread a position of two pieces");
    // Of the piece and of what may belong to it of the next; words[0] is the one before.
    __shared__ int rows[2 * PIECE + 1], words[2 * PIECE + 2];
    __shared__ bool last;
    int across = (width + PIECE_THREADS * WIDE - 1) / (PIECE_THREADS * WIDE), piece = blockIdx.x / across;
    int slice = blockIdx.x - piece * across, first = piece * PIECE, lane = lane_id();
    // All of these are on their way together.
    int total = starts[vocabulary - 1] + counts[vocabulary - 1];
    int edge = first < tokens ? edges[piece] : 0, next = first + PIECE < tokens ? edges[piece + 1] : 0;
    int at = first + threadIdx.x - 1;
    bool inside = threadIdx.x < 2 * PIECE + 2 && at >= 0 && at < tokens;
    int own_word = inside ? sorted[at] : -1, own_row = inside ? positions[at] : 0;
    int often = OVERWRITE && first + lane < vocabulary ? counts[first + lane] : 1;
    if (threadIdx.x < 2 * PIECE + 2) words[threadIdx.x] = at < total ? own_word : -1;
    if (threadIdx.x - 1u <= 2 * PIECE) rows[threadIdx.x - 1] = own_row;
    // Bit i: word first + i does not occur.
    u32 absent = __ballot_sync(FULL_MASK, often == 0);
    __syncthreads();
    int channel = (slice * PIECE_THREADS + threadIdx.x) * WIDE, left = total - first;
    // Bit i: the word of row i ends with it.
    u32 early = __ballot_sync(FULL_MASK, words[lane + 1] != words[lane + 2]);
    u32 later = __ballot_sync(FULL_MASK, words[PIECE + lane + 1] != words[PIECE + lane + 2]);
    unsigned long long endings = (unsigned long long)later << 32 | early;
    if (channel >= width) return;
    dtable += channel, partial += channel, dy += channel;
    // A word that is cut: continues here, or begins here and goes on.
    bool continues = left > 0 && edge < 0;
    bool goes_on = left > PIECE && next < 0 && !(continues && words[1] == words[PIECE]);
    int begin = left > 0 ? max(edge, 0) : 0, end = left > PIECE ? PIECE + max(next, 0) : left;
    typedef Packed<element, WIDE> Row;
    typedef Packed<float, WIDE> Old;
    Row ahead[2][AHEAD];
    Old old_ahead[2][AHEAD];
    auto fetch_rows = [&](Row(&to)[AHEAD], Old(&old)[AHEAD], int base) {
        if (base >= end) return;
        u32 ends = endings >> base;
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            int at = min(base + i, end - 1);
            to[i] = fetch<WIDE>(dy + (i64)rows[at] * width);
            if (OVERWRITE || (ends >> i & 1) == 0 || base + i >= end) continue;
            old[i] = fetch<WIDE>(dtable + (i64)words[at + 1] * width);
        }
    };
    auto write_zeros = [&] {
        Floats<WIDE> zero = {};
        for (u32 set = absent; set; set &= set - 1) store_vector(dtable + (i64)(first + __ffs(set) - 1) * width, zero);
    };
    fetch_rows(ahead[0], old_ahead[0], begin);
    Floats<WIDE> sum = {};
    bool begins = words[begin] != words[begin + 1];
#pragma unroll 1
    for (int base = begin; base < end; base += 2 * AHEAD)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int from = base + half * AHEAD;
            fetch_rows(ahead[1 - half], old_ahead[1 - half], from + AHEAD);
            u32 word_ends = endings >> min(from, 63);
#pragma unroll
            for (int i = 0; i < AHEAD; i++) {
                if (from + i >= end) break;
                Floats<WIDE> row = widen(ahead[half][i]);
#pragma unroll
                for (int j = 0; j < WIDE; j++) sum.at[j] += row.at[j];
                bool ends = word_ends >> i & 1;
                if (!ends && from + i + 1 < end) continue;
                bool whole = begins && ends;
                int to_row = whole ? words[from + i + 1] : 2 * piece + (begins ? 1 : 0);
                float *to = (whole ? dtable : partial) + (i64)to_row * width;
                if (whole && !OVERWRITE) {
                    Floats<WIDE> old = widen(old_ahead[half][i]);
#pragma unroll
                    for (int j = 0; j < WIDE; j++) sum.at[j] += old.at[j];
                }
                store_vector(to, sum);
                sum = {};
                begins = true;
            }
        }

    // Zeros come last: after the sums, or while an arrival is under way.
    bool zeros_left = OVERWRITE;
    // Whether this block is the last of `expected`; then it may read what the others stored.
    auto comes_last = [&](u32 *counter, int expected) {
        __syncthreads();
        if (threadIdx.x == 0) last = arrive(counter, expected) == expected - 1;
        if (zeros_left) write_zeros();
        zeros_left = false;
        __syncthreads();
        return last;
    };
#pragma unroll 1
    for (int part = 0; part < 2; part++) {
        if (!(part == 0 ? continues : goes_on)) continue;
        int word = words[part == 0 ? 1 : PIECE], start = starts[word], head = start / PIECE;
        int pieces = (start + counts[word] - 1) / PIECE - head + 1;
        int lead = head + (piece - head) / GROUP_PIECES * GROUP_PIECES, step = 1;
        auto stored = [&](int piece) { return partial + (2 * (i64)piece + (piece == head ? 1 : 0)) * width; };
        int expected = min(GROUP_PIECES, head + pieces - lead), counter = 3 * lead + (lead == head ? 1 : 0);
        while (comes_last(arrivals + (i64)counter * across + slice, expected)) {
            sum = {};
#pragma unroll 1
            for (int base = 0; base < expected; base += PARTS_AHEAD) {
                Floats<WIDE> more[PARTS_AHEAD];
#pragma unroll
                for (int i = 0; i < PARTS_AHEAD; i++)
                    if (base + i < expected) load_stored(more[i], stored(lead + (base + i) * step));
#pragma unroll
                for (int i = 0; i < PARTS_AHEAD; i++)
                    if (base + i < expected)
#pragma unroll
                        for (int j = 0; j < WIDE; j++) sum.at[j] += more[i].at[j];
            }
            if (step == 1 && pieces > GROUP_PIECES) {
                // In place of the first sum of the group.
                store_vector(stored(lead), sum);
                lead = head, step = GROUP_PIECES, counter = 3 * head + 2;
                expected = (pieces + GROUP_PIECES - 1) / GROUP_PIECES;
                continue;
            }
            float *to = dtable + (i64)word * width;
            if (!OVERWRITE) {
                Floats<WIDE> old;
                load_vector(old, to);
#pragma unroll
                for (int j = 0; j < WIDE; j++) sum.at[j] += old.at[j];
            }
            store_vector(to, sum);
            break;
        }
    }
    if (zeros_left) write_zeros();
}

// ⌈max(tokens, vocabulary) / PIECE⌉ · ⌈width / (PIECE_THREADS WIDE)⌉ blocks.
BOUNDED_KERNEL(embedding_backward_write, PIECE_THREADS, WRITE_BLOCKS)
(float *dtable, float *partial, u32 *arrivals, const element *dy, const int *positions, const int *sorted,
 const int *edges, const int *starts, const int *counts, int tokens, int vocabulary, int width) {
    add_piece<true, WRITE_AHEAD>(
        dtable, partial, arrivals, dy, positions, sorted, edges, starts, counts, tokens, vocabulary, width);
}

// ⌈tokens / PIECE⌉ · ⌈width / (PIECE_THREADS WIDE)⌉ blocks.
BOUNDED_KERNEL(embedding_backward_add, PIECE_THREADS, ADD_BLOCKS)
(float *dtable, float *partial, u32 *arrivals, const element *dy, const int *positions, const int *sorted,
 const int *edges, const int *starts, const int *counts, int tokens, int vocabulary, int width) {
    add_piece<false, ADD_AHEAD>(
        dtable, partial, arrivals, dy, positions, sorted, edges, starts, counts, tokens, vocabulary, width);
}
