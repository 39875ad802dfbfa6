// Sums of squares in double: blocks of a tensor write partials, one block adds all partials in order.
KERNEL(sum_of_squares)(double *partial, const float *x, i64 count) {
    __shared__ double sums[256];
    double sum = 0;
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < count; i += (i64)gridDim.x * 256) {
        double value = x[i];
        sum += value * value;
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}

// The root of the sum of all partials, as a double. One block of 256 threads.
KERNEL(root_of_sum)(double *root, const double *partial, int count) {
    __shared__ double sums[256];
    double sum = 0;
    for (int i = threadIdx.x; i < count; i += 256) sum += partial[i];
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int step = 128; step > 0; step /= 2) {
        if (threadIdx.x < step) sums[threadIdx.x] += sums[threadIdx.x + step];
        __syncthreads();
    }
    if (threadIdx.x == 0) *root = sqrt(sums[0]);
}
