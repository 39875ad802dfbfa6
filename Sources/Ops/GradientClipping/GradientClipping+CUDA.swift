import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gradient_clipping", "GradientClipping/kernel.cu")

/// Sums in double, in a fixed order; waits for the device once.
func globalNormCUDA(_ cuda: CUDABackend, _ tensors: [Tensor]) throws -> Double {
    let kernels = try CUDAKernels(cuda, source, .float32)
    let blocks = tensors.map { max(1, min(($0.count + 4095) / 4096, 1056)) }
    let total = blocks.reduce(0, +)
    // Doubles, kept in pairs of int32.
    let partials = try cuda.empty([max(1, total), 2], .int32)
    let root = try cuda.empty([1, 2], .int32)
    var first = 0
    for (tensor, count) in zip(tensors, blocks) {
        try kernels.launch(
            "sum_of_squares", blocks: count, threads: 256,
            [.tensor(partials.slice(first..<first + count)), .tensor(tensor), .long(tensor.count)])
        first += count
    }
    try kernels.launch("root_of_sum", blocks: 1, threads: 256, [.tensor(root), .tensor(partials), .int(total)])
    var norm = 0.0
    try withUnsafeMutableBytes(of: &norm) { bytes in
        if let address = bytes.baseAddress { try cuda.download(root, into: address) }
    }
    return norm
}
