// A causal convolution of TAPS taps over time with its activation. Sequences: `boundaries` [sequences + 1] where packed, else
// `length` tokens each. Weights [C, TAPS] are float32; states [N, C, TAPS − 1] too, oldest first. ACTIVATION as in
// Activation; BIAS: whether there is one; BLOCKS: blocks a multiprocessor that registers are left for; STAGES_WANTED: batches of tokens
// in shared memory.
//
// A launch takes up to three parts, channels with a weight, a state and an output of their own; those without channels are
// not there. Rows of x and dx may lie among others, `pitch` elements apart; y and dy have rows of a part's channels.
//
// A thread owns VECTOR channels of `tile` tokens; a warp lies across channels, the WARPS of a block follow one another in
// time. Inputs come through shared memory by asynchronous copies, some batches of tokens ahead: registers hold weights and a
// window only, and enough bytes are under way to keep the memory busy. A thread copies what it reads itself, so nothing
// waits for another thread.
constexpr int HISTORY = TAPS - 1;
constexpr int WARPS = 4;
constexpr int THREADS_A_BLOCK = 32 * WARPS;
// Tokens of a batch: a multiple of TAPS, so that windows rotate by renaming registers.
constexpr int BATCH = TAPS >= 4 ? TAPS : 4 / TAPS * TAPS;

// A parameter of each part, and that of the part at hand.
#define EACH_PART(type, name) type name##0, type name##1, type name##2
#define OF_PART(name) (part.index == 0 ? name##0 : part.index == 1 ? name##1 : name##2)

// Which part a block of the grid, (Σ ⌈channels / 32 VECTOR⌉, ⌈tokens / (WARPS tile)⌉), belongs to.
struct Part {
    int index, block; // the latter counted from the part's first
};
DEVICE Part part_of_block(int channels0, int channels1) {
    int first = (channels0 + 32 * VECTOR - 1) / (32 * VECTOR), second = (channels1 + 32 * VECTOR - 1) / (32 * VECTOR);
    int block = blockIdx.x;
    if (block < first) return {0, block};
    if (block < first + second) return {1, block - first};
    return {2, block - first - second};
}
// Channels of the parts before.
DEVICE int channels_before(Part part, int channels0, int channels1) {
    return part.index == 0 ? 0 : channels0 + (part.index == 1 ? 0 : channels1);
}

struct Sequence {
    int number, start, end;
};

// The sequence that token `t` belongs to: the last that starts at or before it.
DEVICE Sequence find_sequence(const int *boundaries, int sequences, int length, int t) {
    if (!boundaries) {
        int n = t / length;
        return {n, n * length, (n + 1) * length};
    }
    int low = 0, high = sequences - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (boundaries[middle] <= t) low = middle; else high = middle - 1;
    }
    return {low, boundaries[low], boundaries[low + 1]};
}

// Element `i` of the states without their taps: a channel of a sequence, and the sequence's tokens.
struct StateChannel {
    int channel;
    i64 start, end;
};
DEVICE StateChannel find_state_channel(i64 i, const int *boundaries, int length, int channels) {
    int n = (int)(i / channels), channel = (int)(i % channels);
    i64 start = boundaries ? boundaries[n] : (i64)n * length, end = boundaries ? boundaries[n + 1] : start + length;
    return {channel, start, end};
}

// Where one of a thread's INPUTS tensors lies on its way: STAGES batches of tokens, each token side by side for the block.
template <int N, int INPUTS, int WANTED>
struct Ring {
    static constexpr int BATCH_BYTES = BATCH * THREADS_A_BLOCK * N * (int)sizeof(element);
    // At most 32 KB a block, because several blocks share a multiprocessor.
    static constexpr int STAGES = INPUTS * BATCH_BYTES <= 8192 ? WANTED : 2;
    static constexpr int BYTES = STAGES * BATCH_BYTES;
    element *own;

    DEVICE Ring(char *memory) : own((element *)memory + threadIdx.x * N) {}

    DEVICE element *slot(int stage, int i) const { return own + (stage * BATCH + i) * THREADS_A_BLOCK * N; }
    // N elements into a slot; zeros where `valid` is false.
    DEVICE void copy(int stage, int i, const element *from, bool valid) const {
        constexpr int BYTES = N * sizeof(element);
        element *to = slot(stage, i);
        if constexpr (BYTES == 16) {
            copy_async(to, from, valid);
        } else if constexpr (BYTES == 4 || BYTES == 8) {
            copy_async_small<BYTES>(to, from, valid);
        } else {
            *to = valid ? *from : (element)0;
        }
    }
    DEVICE Floats<N> read(int stage, int i) const { return widen(fetch<N>(slot(stage, i))); }
};

template <int N>
struct Taps {
    Floats<N> weight[TAPS];
#if BIAS
    Floats<N> bias;
#endif
};

// The weights of a block's 32 vectors of channels go through shared memory: a thread's own lie so far from its neighbour's
// that direct loads would take a cache line each. They are copied with the first batch of inputs (`stage`), and read when
// that is there, after a barrier.
template <int N>
struct StagedTaps {
    static constexpr int OWN = N * TAPS, PITCH = OWN % 4 == 0 ? OWN + 4 : OWN | 1, FLOATS = 32 * PITCH;

    static DEVICE void stage(float *staged, const float *weight, int block, int channels) {
        int first = block * 32 * N, count = min(32 * N, channels - first) * TAPS;
        for (int i = threadIdx.x; i < count; i += THREADS_A_BLOCK)
            copy_async_small<4>(staged + i / OWN * PITCH + i % OWN, weight + (i64)first * TAPS + i, true);
    }
    static DEVICE void read(Taps<N> &taps, const float *staged) {
        const float *own = staged + lane_id() * PITCH;
#pragma unroll
        for (int i = 0; i < OWN; i += OWN % 4 == 0 ? 4 : 1) {
            Floats<OWN % 4 == 0 ? 4 : 1> part;
            load_vector(part, own + i);
#pragma unroll
            for (int k = 0; k < (OWN % 4 == 0 ? 4 : 1); k++)
                taps.weight[(i + k) % TAPS].at[(i + k) / TAPS] = part.at[k];
        }
    }
};

// window[0 … HISTORY−1] = the inputs before token `t`, oldest first; those before the sequence come from the state.
template <int N>
DEVICE void load_history(Floats<N> *window, const element *x, const float *state, const Sequence &sequence, int t,
                         int channel, int channels, int pitch) {
#pragma unroll
    for (int i = 0; i < HISTORY; i++) {
        int from = t - HISTORY + i;
        if (from >= sequence.start) {
            load_vector(window[i], x + (i64)from * pitch + channel);
        } else {
            int at = from - sequence.start + HISTORY;
#pragma unroll
            for (int j = 0; j < N; j++)
                window[i].at[j] =
                    state ? state[((i64)sequence.number * channels + channel + j) * HISTORY + at] : 0.0f;
        }
    }
}

// pre_t = bias + Σ_w weight_w x_(t − HISTORY + w). Windows are rings: entry `newest` (modulo TAPS) holds x_t.
template <int N>
DEVICE Floats<N> convolve(const Floats<N> *window, int newest, const Taps<N> &taps) {
    Floats<N> sum;
#pragma unroll
    for (int j = 0; j < N; j++) {
#if BIAS
        sum.at[j] = taps.bias.at[j];
#else
        sum.at[j] = 0;
#endif
#pragma unroll
        for (int w = 0; w < TAPS; w++) sum.at[j] += taps.weight[w].at[j] * window[(newest + 1 + w) % TAPS].at[j];
    }
    return sum;
}
