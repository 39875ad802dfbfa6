import GDNAutograd
import GDNTensor

/// How keys (and queries) are scaled before the delta rule.
public enum KeyNormalisation: String, Sendable, Codable, CaseIterable {
    /// x / √(Σx² + eps): length 1
    case l2
    /// x / (Σ|x| + eps)
    case l1
    /// softmax over the key dimension
    case softmax
    /// as they are
    case none
}

extension Tape {
    /// Rows scaled to Euclidean length 1: `y = x / √(Σx² + eps)`.
    ///
    /// - Parameters:
    ///   - x: [..., K]; rows are the last dimension
    ///   - eps: added to the sum of squares, > 0: a row of zeros stays zeros
    /// - Returns: [..., K]
    /// - Throws: `BackendError` where the device has no form of it.
    /// - Source: Yang et al. 2024, Gated Delta Networks, section 3.4.
    public func l2Norm(_ x: Variable, eps: Float) throws -> Variable {
        try normaliseKeys(x, kind: .l2, eps: eps)
    }

    /// Rows normalised in one of four ways: the switch of the paper's ablation.
    ///
    /// - Parameters:
    ///   - x: [..., K]
    ///   - kind: `.none` hands `x` on as it is
    ///   - eps: added to the sum of squares (`.l2`) or of magnitudes (`.l1`), > 0; `.softmax` needs none
    /// - Returns: [..., K]
    /// - Throws: `BackendError` where the device has no form of it.
    public func normaliseKeys(_ x: Variable, kind: KeyNormalisation, eps: Float) throws -> Variable {
        if kind == .none { return x }
        switch backend {
        case .cpu(let cpu): return inFloat32(cpu, [x]) { [normaliseRowsCPU(cpu, $0[0], kind: kind, eps: eps)] }[0]
        case .cuda(let cuda): return try normaliseRowsCUDA(cuda, x, kind: kind, eps: eps)
        }
    }
}
