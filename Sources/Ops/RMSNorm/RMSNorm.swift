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
        case .cuda(let cuda):
            let form = RMSNormCUDA(cuda: cuda, eps: eps, offset: zeroCentred ? 1 : 0)
            return try form.record(on: self, x, residual: nil, weight: weight)[0]
        }
    }

    /// The residual addition and the normalisation of its sum in one pass over memory.
    ///
    /// - Parameters:
    ///   - x: what a layer adds to the stream, [..., D]
    ///   - residual: the stream before it, [..., D]
    ///   - weight: [D]
    ///   - eps: added to the mean square, > 0
    ///   - zeroCentred: scale by `1 + w` instead of `w`
    /// - Returns: `sum = x + residual` and `normed = rmsNorm(sum)`, both [..., D].
    /// - Throws: `ShapeError` when `residual` has another shape than `x`, or `weight` is not [D].
    public func addRMSNorm(
        _ x: Variable, _ residual: Variable, weight: Variable, eps: Float, zeroCentred: Bool = false
    ) throws -> (sum: Variable, normed: Variable) {
        try residual.value.require("add_rms_norm", "residual", shape: x.shape)
        try weight.value.require("add_rms_norm", "weight", shape: [x.shape[-1]])
        switch backend {
        case .cpu(let cpu):
            let outputs = inFloat32(cpu, [x, residual, weight]) { inputs in
                addRMSNormCPU(cpu, inputs[0], inputs[1], weight: inputs[2], eps: eps, offset: zeroCentred ? 1 : 0)
            }
            return (outputs[0], outputs[1])
        case .cuda(let cuda):
            let form = RMSNormCUDA(cuda: cuda, eps: eps, offset: zeroCentred ? 1 : 0)
            let outputs = try form.record(on: self, x, residual: residual, weight: weight)
            return (outputs[0], outputs[1])
        }
    }
}
