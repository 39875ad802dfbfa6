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
// The same for WORDS words (a multiple of 4, at most 40,960): a block of 1024 threads keeps the row in registers, so that
// logits are read once.
constexpr int PER_THREAD_WORDS = (WORDS / 4 + 1023) / 1024;

extern "C" __global__ void __launch_bounds__(1024)
#if ELEMENT_BFLOAT16
cross_entropy_short_rows_bfloat16
#else
cross_entropy_short_rows_float32
#endif
(float *losses, element *gradient, const LOGIT *logits, const int *targets, const float *kept, int ignored, int width) {
    __shared__ float shared[32];
    i64 row = blockIdx.x;
    const LOGIT *in = logits + row * WORDS;
    int target = targets[row];
    bool keep = target != ignored, inside = target >= 0 && target < WORDS;
    Floats<4> x[PER_THREAD_WORDS];
    float maximum = -INFINITY_F, sum = 0;
#pragma unroll
    for (int i = 0; i < PER_THREAD_WORDS; i++) {
        int at = (i * 1024 + threadIdx.x) * 4;
        if (at < WORDS) load_vector(x[i], in + at);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (at >= WORDS) x[i].at[j] = -INFINITY_F;
            maximum = fmaxf(maximum, x[i].at[j]);
        }
    }
    maximum = warp_max(maximum);
    if ((threadIdx.x & 31) == 0) shared[threadIdx.x >> 5] = maximum;
    __syncthreads();
#pragma unroll
    for (int warp = 0; warp < 32; warp++) maximum = fmaxf(maximum, shared[warp]);
    float at_target = keep && inside ? to_float(in[target]) : 0.0f;
#pragma unroll
    for (int i = 0; i < PER_THREAD_WORDS; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) {
            x[i].at[j] = expf(x[i].at[j] - maximum);
            sum += x[i].at[j];
        }
    sum = block_sum<32>(sum, shared);
    if (threadIdx.x == 0)
        losses[row] = !keep ? 0.0f : inside ? maximum + logf(sum) - at_target : __int_as_float(0x7fc00000);
    if (!gradient) return;
    float factor = keep ? kept[1] : 0.0f, inverse = factor / sum;
#pragma unroll
    for (int i = 0; i < PER_THREAD_WORDS; i++) {
        int at = (i * 1024 + threadIdx.x) * 4;
        if (at >= WORDS) continue;
#pragma unroll
        for (int j = 0; j < 4; j++) x[i].at[j] = x[i].at[j] * inverse - (at + j == target ? factor : 0.0f);
        store_vector(gradient + row * WORDS + at, x[i]);
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

// to = (add ? to : 0) + factor[0] · from
extern "C" __global__ void cross_entropy_scale_float32(float *to, const float *from, const float *factor, int add, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x)
        to[i] = (add ? to[i] : 0.0f) + factor[0] * from[i];
}
#if ELEMENT_BFLOAT16
extern "C" __global__ void cross_entropy_scale_bfloat16(bfloat16 *to, const bfloat16 *from, const float *factor, int add, i64 count) {
    for (i64 i = (i64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (i64)gridDim.x * blockDim.x)
        from_float(&to[i], (add ? to_float(to[i]) : 0.0f) + factor[0] * to_float(from[i]));
}
#endif
