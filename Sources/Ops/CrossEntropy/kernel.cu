// Softmax cross-entropy of rows of float32 logits. Loss of a row: log Σ exp − logit of its target.
// Gradient for a loss gradient of 1: (softmax − 1 at the target) / number of kept targets.

// kept[0] = number of targets that count; kept[1] = 1 / max(1, kept). One block of 1024 threads.
KERNEL(cross_entropy_count)(float *kept, const int *targets, i64 rows, int ignored) {
    __shared__ int sums[1024];
    int count = 0;
    for (i64 i = threadIdx.x; i < rows; i += 1024) count += targets[i] != ignored;
    sums[threadIdx.x] = count;
    __syncthreads();
    for (int step = 512; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) kept[0] = (float)sums[0], kept[1] = 1.0f / (float)max(1, sums[0]);
}

// A block of 256 threads a row. `gradient` may be null, or the logits themselves in float32. A target outside of the
// vocabulary gives NaN.
KERNEL(cross_entropy_rows)
(float *losses, element *gradient, const LOGIT *logits, const int *targets, const float *kept, int ignored, int width) {
    __shared__ float shared[8];
    i64 row = blockIdx.x;
    const LOGIT *in = logits + row * width;
    int target = targets[row];
    bool keep = target != ignored, inside = target >= 0 && target < width;
    float maximum = -INFINITY_F, sum = 0;
    for (int i = threadIdx.x; i < width; i += 256) {
        float x = to_float(in[i]);
        if (x > maximum) sum *= expf(maximum - x), maximum = x;
        sum += expf(x - maximum);
    }
    float own = maximum;
    maximum = warp_max(maximum);
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = maximum;
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < 8; warp++) maximum = fmaxf(maximum, shared[warp]);
    sum = own == -INFINITY_F ? 0.0f : sum * expf(own - maximum);
    sum = block_sum<8>(sum, shared);
    float at_target = keep && inside ? to_float(in[target]) : 0.0f;
    __syncthreads();
    if (threadIdx.x == 0)
        losses[row] = !keep ? 0.0f : inside ? maximum + logf(sum) - at_target : __int_as_float(0x7fc00000);
    if (gradient) {
        float factor = keep ? kept[1] : 0.0f, inverse = factor / sum;
        for (int i = threadIdx.x; i < width; i += 256) {
            float p = expf(to_float(in[i]) - maximum) * inverse;
            from_float(&gradient[row * width + i], i == target ? p - factor : keep ? p : 0.0f);
        }
    }
}

#ifdef WORDS
// The same for rows of WORDS logits that fit into shared memory (WORDS · sizeof(LOGIT) bytes of it; a multiple of 16 bytes):
// one block of ROW_THREADS threads a multiprocessor, for every grid-th row. Logits are read once, into registers, and the
// next row is copied to shared memory while this one is computed with and its gradient stored.
#ifndef ROW_THREADS
#define ROW_THREADS 1024
#endif
constexpr int PER_LOAD = 16 / sizeof(LOGIT), STRIDE = ROW_THREADS * PER_LOAD, LOADS = (WORDS + STRIDE - 1) / STRIDE;

#if ELEMENT_BFLOAT16
DEVICE float exponential(float x) {
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(1.4426950408889634f * x));
    return power;
}
#else
DEVICE float exponential(float x) { return expf(x); }
#endif

// Whether this thread's load `i` lies within the row.
DEVICE bool within_row(int i) { return (i + 1) * STRIDE <= WORDS || i * STRIDE + (int)threadIdx.x * PER_LOAD < WORDS; }

BOUNDED_KERNEL(cross_entropy_short_rows, ROW_THREADS, 1)
(float *losses, element *gradient, const LOGIT *logits, const int *targets, const float *kept, int ignored, int rows) {
    extern __shared__ __align__(16) char memory[];
    __shared__ float maxima[32], sums[32];
    LOGIT *own = (LOGIT *)memory + threadIdx.x * PER_LOAD;
    auto copy_row = [&](int row) {
        const LOGIT *from = logits + (i64)row * WORDS + threadIdx.x * PER_LOAD;
#pragma unroll
        for (int i = 0; i < LOADS; i++)
            if (within_row(i)) copy_async(own + i * STRIDE, from + i * STRIDE, true);
        copy_commit();
    };
    copy_row(blockIdx.x);
    float share = kept[1];
    if (threadIdx.x < 32) maxima[threadIdx.x] = -INFINITY_F, sums[threadIdx.x] = 0;
    __syncthreads();
#pragma unroll 1
    for (int row = blockIdx.x; row < rows; row += gridDim.x) {
        int target = targets[row];
        bool keep = target != ignored, inside = target >= 0 && target < WORDS;
        float at_target = keep && inside ? to_float(logits[(i64)row * WORDS + target]) : 0.0f;
        Floats<PER_LOAD> x[LOADS];
        float maximum = -INFINITY_F, sum = 0;
        copy_wait<0>();
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
#pragma unroll
            for (int j = 0; j < PER_LOAD; j++) x[i].at[j] = -INFINITY_F;
            if (within_row(i)) load_vector(x[i], own + i * STRIDE);
#pragma unroll
            for (int j = 0; j < PER_LOAD; j++) maximum = fmaxf(maximum, x[i].at[j]);
        }
        maximum = warp_max(maximum);
        if ((threadIdx.x & 31) == 0) maxima[threadIdx.x >> 5] = maximum;
        __syncthreads();
        // All threads have taken their parts of this row.
        if (row + (int)gridDim.x < rows) copy_row(row + gridDim.x);
        maximum = warp_max(maxima[threadIdx.x & 31]);
#pragma unroll
        for (int i = 0; i < LOADS; i++)
#pragma unroll
            for (int j = 0; j < PER_LOAD; j++) {
                x[i].at[j] = exponential(x[i].at[j] - maximum);
                sum += x[i].at[j];
            }
        sum = warp_sum(sum);
        if ((threadIdx.x & 31) == 0) sums[threadIdx.x >> 5] = sum;
        __syncthreads();
        sum = warp_sum(sums[threadIdx.x & 31]);
        if (threadIdx.x == 0)
            losses[row] = !keep ? 0.0f : inside ? maximum + logf(sum) - at_target : __int_as_float(0x7fc00000);
        if (!gradient) continue;
        float factor = keep ? share : 0.0f, inverse = factor / sum;
        element *to = gradient + (i64)row * WORDS + threadIdx.x * PER_LOAD;
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
#pragma unroll
            for (int j = 0; j < PER_LOAD; j++) x[i].at[j] *= inverse;
            if (within_row(i)) store_vector(to + i * STRIDE, x[i]);
        }
        if (keep && inside && target / PER_LOAD % ROW_THREADS == (int)threadIdx.x)
            from_float(&gradient[(i64)row * WORDS + target], exponential(at_target - maximum) * inverse - factor);
    }
}
#endif

// loss = factor · Σ losses, summed in double; factor = kept[1]. One block of 1024 threads.
KERNEL(cross_entropy_mean)(float *loss, const float *losses, const float *kept, i64 rows) {
    __shared__ double sums[1024];
    double sum = 0;
    for (i64 i = threadIdx.x; i < rows; i += 1024) sum += losses[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 512; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) *loss = (float)(sums[0] * kept[1]);
}

// to = (add ? to : 0) + factor[0] · from: the first `vectors` vectors of 16 bytes as such, the rest one by one.
template <int N, typename T>
DEVICE void add_scaled(T *to, const T *from, const float *factor, int add, i64 count, i64 vectors) {
    float scale = factor[0];
    i64 thread = (i64)blockIdx.x * blockDim.x + threadIdx.x, threads = (i64)gridDim.x * blockDim.x;
    for (i64 i = thread; i < vectors; i += 2 * threads) {
        // Two vectors under way at a time.
        i64 at[2] = {i * N, (i + threads < vectors ? i + threads : i) * N};
        Floats<N> x[2], y[2] = {};
#pragma unroll
        for (int k = 0; k < 2; k++) {
            load_vector(x[k], from + at[k]);
            if (add) load_vector(y[k], to + at[k]);
        }
#pragma unroll
        for (int k = 0; k < 2; k++) {
#pragma unroll
            for (int j = 0; j < N; j++) y[k].at[j] += scale * x[k].at[j];
            if (k == 0 || at[1] > at[0]) store_vector(to + at[k], y[k]);
        }
    }
    for (i64 i = vectors * N + thread; i < count; i += threads)
        from_float(&to[i], (add ? to_float(to[i]) : 0.0f) + scale * to_float(from[i]));
}
extern "C" __global__ void cross_entropy_scale_float32(float *to, const float *from, const float *factor, int add,
                                                       i64 count, i64 vectors) {
    add_scaled<4>(to, from, factor, add, count, vectors);
}
#if ELEMENT_BFLOAT16
extern "C" __global__ void cross_entropy_scale_bfloat16(bfloat16 *to, const bfloat16 *from, const float *factor,
                                                        int add, i64 count, i64 vectors) {
    add_scaled<8>(to, from, factor, add, count, vectors);
}
#endif
