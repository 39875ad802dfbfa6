import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gradient_clipping", "GradientClipping/kernel.cu")

/// Sums in double, in a fixed order, one launch for all tensors; waits for the device once.
func globalNormCUDA(_ cuda: CUDABackend, _ tensors: [Tensor]) throws -> Double {
    if tensors.isEmpty { return 0 }
    let vector = tensors.allSatisfy { $0.deviceAddress % 16 == 0 } ? 4 : 1
    let chunk = 65_536
    var blocks = 0
    let rows = tensors.flatMap { tensor -> [Int64] in
        defer { blocks += (tensor.count + chunk - 1) / chunk }
        return [Int64(bitPattern: tensor.deviceAddress), Int64(tensor.count), Int64(blocks)]
    }
    let table = try cuda.uploadTable(rows)
    let kernels = try CUDAKernels(cuda, source, .float32, [("VECTOR", "\(vector)"), ("CHUNK", "\(chunk)")])
    // Doubles, kept in pairs of int32.
    let partials = try cuda.empty([max(1, blocks), 2], .int32)
    let root = try cuda.empty([1, 2], .int32)
    try kernels.launch(
        "sum_of_squares", blocks: blocks, threads: 256,
        [.tensor(partials), .tensor(table), .int(tensors.count)])
    try kernels.launch("root_of_sum", blocks: 1, threads: 256, [.tensor(root), .tensor(partials), .int(blocks)])
    var norm = 0.0
    try withUnsafeMutableBytes(of: &norm) { bytes in
        if let address = bytes.baseAddress { try cuda.download(root, into: address) }
    }
    return norm
}
