// The generator of `Random`, one thread for each CHUNK of elements, from the state it has there.

typedef unsigned long long u64;
struct Generator {
    u64 s0, s1, s2, s3;
    DEVICE double uniform() {
        u64 sum = s0 + s3, result = ((sum << 23) | (sum >> 41)) + s0, t = s1 << 17;
        s2 ^= s0, s3 ^= s1, s1 ^= s2, s0 ^= s3, s2 ^= t;
        s3 = (s3 << 45) | (s3 >> 19);
        return (double)(result >> 11) * 0x1p-53;
    }
};

// Normal numbers of standard deviation `size` (Box–Muller, one of the pair).
extern "C" __global__ void fill_normal(float *out, const Generator *states, const double *size, i64 count) {
    i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
    if (first >= count) return;
    Generator random = states[first / CHUNK];
    for (i64 i = first; i < min(first + CHUNK, count); i++) {
        double u = 1 - random.uniform(), v = random.uniform();
        out[i] = (float)(*size * (sqrt(-2 * log(u)) * cos(6.283185307179586 * v)));
    }
}

// Numbers in [−size, size).
extern "C" __global__ void fill_uniform(float *out, const Generator *states, const double *size, i64 count) {
    i64 first = ((i64)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
    if (first >= count) return;
    Generator random = states[first / CHUNK];
    for (i64 i = first; i < min(first + CHUNK, count); i++)
        out[i] = (float)(__dadd_rn(-*size, __dmul_rn(2 * *size, random.uniform())));
}
