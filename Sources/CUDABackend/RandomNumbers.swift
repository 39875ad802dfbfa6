import GDNTensor

/// The generator of `Random`, one thread for each CHUNK of elements, from the state it has there.
private let randomSource = KernelSource(
    name: "random",
    text: #"""
        typedef unsigned long long u64;
        struct Generator {
            u64 s0, s1, s2, s3;
            __device__ double uniform() {
                u64 sum = s0 + s3, result = ((sum << 23) | (sum >> 41)) + s0, t = s1 << 17;
                s2 ^= s0, s3 ^= s1, s1 ^= s2, s0 ^= s3, s2 ^= t;
                s3 = (s3 << 45) | (s3 >> 19);
                return (double)(result >> 11) * 0x1p-53;
            }
        };

        // Normal numbers of standard deviation `size` (Box–Muller, one of the pair).
        extern "C" __global__ void fill_normal(float *out, const Generator *states, const double *size, long long count) {
            long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
            if (first >= count) return;
            Generator random = states[first / CHUNK];
            for (long long i = first; i < min(first + CHUNK, count); i++) {
                double u = 1 - random.uniform(), v = random.uniform();
                out[i] = (float)(*size * (sqrt(-2 * log(u)) * cos(6.283185307179586 * v)));
            }
        }

        // Numbers in [−size, size).
        extern "C" __global__ void fill_uniform(float *out, const Generator *states, const double *size, long long count) {
            long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) * CHUNK;
            if (first >= count) return;
            Generator random = states[first / CHUNK];
            for (long long i = first; i < min(first + CHUNK, count); i++)
                out[i] = (float)(__dadd_rn(-*size, __dmul_rn(2 * *size, random.uniform())));
        }
        """#)

/// Fills tensors with random numbers; several threads may use one at a time.
package struct RandomFiller: Sendable {
    /// How random elements are distributed.
    package enum Distribution: Sendable {
        /// Normal with this standard deviation: two numbers of the generator each.
        case normal(Double)
        /// Uniform in [−bound, bound): one number each.
        case uniform(Double)
    }

    private static let exponent = 12
    private let cuda: CUDABackend
    private let normal: Kernel
    private let uniform: Kernel
    private let jump = RandomJump(exponent: exponent)
    private let doubleJump = RandomJump(exponent: exponent + 1)

    /// Gets the kernels ready.
    package init(_ cuda: CUDABackend) throws {
        self.cuda = cuda
        let defines = [("CHUNK", "\(1 << Self.exponent)")]
        normal = try cuda.kernel(randomSource, "fill_normal", defines)
        uniform = try cuda.kernel(randomSource, "fill_uniform", defines)
    }

    /// Fills a float32 tensor with what `random` would draw element by element: the same numbers as in main memory up to
    /// the last bit of logarithm and cosine.
    package func fill(_ tensor: Tensor, _ distribution: Distribution, from random: Random) throws {
        let (kernel, size, jump): (Kernel, Double, RandomJump)
        switch distribution {
        case .normal(let deviation): (kernel, size, jump) = (normal, deviation, doubleJump)
        case .uniform(let bound): (kernel, size, jump) = (uniform, bound, self.jump)
        }
        let chunks = (tensor.count + (1 << Self.exponent) - 1) >> Self.exponent
        var states: [Int64] = []
        states.reserveCapacity(4 * chunks)
        var state = random
        for _ in 0..<chunks {
            states += state.words.map { Int64(bitPattern: $0) }
            state = jump.applied(to: state)
        }
        let table = try cuda.uploadTable(states)
        let factor = try cuda.uploadTable([Int64(bitPattern: size.bitPattern)])
        try cuda.launch(
            kernel, blocks: (chunks + 127) / 128, threads: 128,
            [.tensor(tensor), .tensor(table), .tensor(factor), .long(tensor.count)])
    }
}
