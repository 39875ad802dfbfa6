import GDNAutograd
import GDNTensor

/// A function applied to every element.
public enum Activation: String, Sendable, Codable, CaseIterable {
    /// x
    case none
    /// x · σ(x)
    case silu
    /// max(x, 0)
    case relu
    /// 1 + ELU(x): 1 + x above zero, eˣ below
    case onePlusELU
}

extension Tape {
    /// `y = activation(x)`, element by element.
    ///
    /// - Parameters:
    ///   - x: any shape
    ///   - activation: `.none` hands `x` on as it is
    /// - Returns: the shape of `x`.
    /// - Throws: `BackendError` where the device has no form of it.
    public func activation(_ x: Variable, _ activation: Activation) throws -> Variable {
        if activation == .none { return x }
        switch backend {
        case .cpu(let cpu): return inFloat32(cpu, [x]) { [activationCPU(cpu, $0[0], activation)] }[0]
        case .cuda(let cuda): return try activationCUDA(cuda, x, activation)
        }
    }
}
