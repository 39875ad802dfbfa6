import GDNTensor

private let randomSource = KernelSource(backend: "random")

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
