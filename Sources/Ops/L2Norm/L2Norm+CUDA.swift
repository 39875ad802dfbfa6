import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("l2_norm", "L2Norm/kernel.cu")

extension Tape {
    /// Saves y (L1: x) by reference and one float a row.
    func normaliseRowsCUDA(_ cuda: CUDABackend, _ x: Variable, kind: KeyNormalisation, eps: Float) throws -> Variable {
        let (input, rows) = (x.value, x.shape.rows)
        let geometry = RowGeometry(width: x.shape[-1], dtype: input.dtype)
        let code = kind == .softmax ? "2" : kind == .l1 ? "1" : "0"
        let kernels = try CUDAKernels(cuda, source, input.dtype, geometry.defines + [("KIND", code)])
        let output = try cuda.empty(x.shape, input.dtype)
        let factor = try cuda.empty([rows])
        try kernels.launch(
            "normalise_rows_forward", blocks: geometry.blocks(rows), threads: geometry.threads,
            [.tensor(output), .tensor(factor), .tensor(input), .float(eps), .long(rows)])
        let saved = kind == .l1 ? input : output
        return record([x], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            return [try normaliseRowsBackward(kernels, geometry, upstream, saved, factor)]
        }[0]
    }
}

/// The gradient of the input of `y = factor x`, rows of length 1: upstream and y [rows, K], factor [rows].
func l2NormBackward(_ cuda: CUDABackend, _ upstream: Tensor, y: Tensor, factor: Tensor) throws -> Tensor {
    let geometry = RowGeometry(width: y.shape[-1], dtype: y.dtype)
    let kernels = try CUDAKernels(cuda, source, y.dtype, geometry.defines + [("KIND", "0")])
    return try normaliseRowsBackward(kernels, geometry, upstream, y, factor)
}

private func normaliseRowsBackward(
    _ kernels: CUDAKernels, _ geometry: RowGeometry, _ upstream: Tensor, _ saved: Tensor, _ factor: Tensor
) throws -> Tensor {
    let dx = try kernels.cuda.empty(saved.shape, saved.dtype)
    try kernels.launch(
        "normalise_rows_backward", blocks: geometry.blocks(saved.shape.rows), threads: geometry.threads,
        [.tensor(dx), .tensor(upstream), .tensor(saved), .tensor(factor), .long(saved.shape.rows)])
    return dx
}
