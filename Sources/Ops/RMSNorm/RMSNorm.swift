import GDNAutograd
import GDNTensor

extension Tape {
    /// Root-mean-square normalisation of rows: `y = x / √(mean(x²) + eps) · w`.
    ///
    /// - Parameters:
    ///   - x: [..., D]
    ///   - weight: [D]
    ///   - eps: added to the mean square, > 0
    ///   - zeroCentred: scale by `1 + w` instead of `w` (the convention of Qwen3-Next)
    /// - Returns: [..., D]
    /// - Throws: `ShapeError` when `weight` is not [D].
    /// - Source: Zhang and Sennrich 2019, eq. 4.
    public func rmsNorm(_ x: Variable, weight: Variable, eps: Float, zeroCentred: Bool = false) throws -> Variable {
        try weight.value.require("rms_norm", "weight", shape: [x.shape[-1]])
        switch backend {
        case .cpu(let cpu):
            return inFloat32(cpu, [x, weight]) { inputs in
                [rmsNormCPU(cpu, inputs[0], weight: inputs[1], eps: eps, offset: zeroCentred ? 1 : 0)]
            }[0]
        case .cuda: throw BackendError("rms_norm: no CUDA form yet")
        }
    }
}
