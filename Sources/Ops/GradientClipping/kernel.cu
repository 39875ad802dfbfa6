// Sums of squares of many tensors in double. A block takes CHUNK elements of one tensor: the last whose first block is
// not above its own. One block then adds all partials in order.
struct Part {
    const float *from;
    i64 count, first_block;
};

DEVICE double sum_of_block(double sum) {
    __shared__ double sums[256];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    return sums[0];
}

KERNEL(sum_of_squares)(double *partial, const Part *parts, int count) {
    int low = 0, high = count - 1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (parts[middle].first_block <= blockIdx.x) low = middle; else high = middle - 1;
    }
    Part part = parts[low];
    i64 begin = (blockIdx.x - part.first_block) * CHUNK, end = min(begin + CHUNK, part.count);
    i64 whole = begin + (end - begin) / VECTOR * VECTOR;
    double sum = 0;
#pragma unroll 4
    for (i64 at = begin + threadIdx.x * VECTOR; at < whole; at += 256 * VECTOR) {
        Floats<VECTOR> x;
        load_vector(x, part.from + at);
#pragma unroll
        for (int j = 0; j < VECTOR; j++) sum += (double)x.at[j] * x.at[j];
    }
    i64 at = whole + threadIdx.x;
    if (at < end) sum += (double)part.from[at] * part.from[at];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The root of the sum of all partials, as a double. One block of 256 threads.
KERNEL(root_of_sum)(double *root, const double *partial, int count) {
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += 256) sum += partial[i];
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) *root = sqrt(sum);
}
