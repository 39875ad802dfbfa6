import GDNAutograd
import GDNTensor

extension Tape {
    /// The decay and the write strength of the gated delta rule from their projections.
    ///
    ///     g = −exp(A_log) · softplus(a + dt_bias)        β = c · σ(b),  c = 1 or 2
    ///
    /// - Parameters:
    ///   - a: projection for the decay, [B, T, HV]
    ///   - b: projection for the write strength, [B, T, HV]
    ///   - aLog: logarithm of the decay rate of each value head, [HV], float32
    ///   - dtBias: bias of the step size, [HV], float32
    ///   - allowNegativeEigenvalues: write strengths in (0, 2) instead of (0, 1)
    /// - Returns: log decay ≤ 0 and write strength, [B, T, HV] each, float32 whatever the dtype of a and b.
    /// - Throws: `ShapeError` naming the argument that does not fit.
    /// - Source: Yang et al. 2024 (arXiv 2412.06464), section 3; Grazzi et al. 2024 for c = 2.
    public func gates(
        _ a: Variable, _ b: Variable, aLog: Variable, dtBias: Variable, allowNegativeEigenvalues: Bool = false
    ) throws -> (logDecay: Variable, beta: Variable) {
        try gates(
            Columns(a), Columns(b), aLog: aLog, dtBias: dtBias, allowNegativeEigenvalues: allowNegativeEigenvalues)
    }

    /// The same from projections that may lie beside other results.
    public func gates(
        _ a: Columns, _ b: Columns, aLog: Variable, dtBias: Variable, allowNegativeEigenvalues: Bool = false
    ) throws -> (logDecay: Variable, beta: Variable) {
        guard a.shape.rank >= 1 else { throw ShapeError("gates", "a has shape \(a.shape), expected [B, T, HV]") }
        guard b.shape == a.shape else {
            throw ShapeError("gates", "b has shape \(b.shape), expected \(a.shape)")
        }
        guard b.dtype == a.dtype else {
            throw ShapeError("gates", "b is \(b.dtype.rawValue), expected \(a.dtype.rawValue)")
        }
        try aLog.value.require("gates", "aLog", shape: [a.shape[-1]], dtype: .float32)
        try dtBias.value.require("gates", "dtBias", shape: [a.shape[-1]], dtype: .float32)
        switch backend {
        case .cpu(let cpu):
            let strength: Float = allowNegativeEigenvalues ? 2 : 1
            let inputs = [try variable(a), try variable(b), aLog, dtBias]
            let results = inFloat32(cpu, inputs, keepingFloat32: [0, 1]) {
                gatesCPU(cpu, $0[0], $0[1], aLog: $0[2], dtBias: $0[3], strength: strength)
            }
            return (results[0], results[1])
        case .cuda(let cuda):
            let results = try gatesCUDA(
                cuda, a, b, aLog: aLog, dtBias: dtBias, strength: allowNegativeEigenvalues ? 2 : 1)
            return (results[0], results[1])
        }
    }
}
