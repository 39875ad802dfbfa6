import GDNAutograd
import GDNTensor

/// The Euclidean norm of many tensors taken as one vector.
///
/// The same for every number of threads. NaN or infinity in any tensor shows: the norm is then not finite.
/// - Parameters:
///   - tensors: float32, any shapes
///   - backend: where they live
/// - Throws: `ShapeError` when a tensor is not float32.
public func globalNorm(_ tensors: [Tensor], on backend: Backend) throws -> Double {
    for (index, tensor) in tensors.enumerated() {
        try tensor.require("global_norm", "tensor \(index)", shape: tensor.shape, dtype: .float32)
    }
    switch backend {
    case .cpu(let cpu): return globalNormCPU(cpu, tensors)
    case .cuda(let cuda): return try globalNormCUDA(cuda, tensors)
    }
}

/// What to multiply gradients of this norm by so that it is at most `maximum`: min(1, maximum / (norm + 1e-6)).
///
/// NaN for a norm that is NaN, 0 for infinity: such a step is better skipped.
public func clipCoefficient(norm: Double, maximum: Double) -> Double {
    let coefficient = maximum / (norm + 1e-6)
    return coefficient > 1 ? 1 : coefficient
}
