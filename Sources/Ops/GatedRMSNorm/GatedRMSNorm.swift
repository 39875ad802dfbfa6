import GDNAutograd
import GDNTensor

/// The function a gate goes through.
public enum GateActivation: String, Sendable, Codable {
    /// z · σ(z): Gated DeltaNet, Mamba2
    case silu
    /// σ(z): Kimi Delta Attention
    case sigmoid
}

/// Which comes first, the norm or the gate.
public enum GatedNormOrder: String, Sendable, Codable {
    /// `rms(x) · w · act(gate)`: Gated DeltaNet
    case normThenGate
    /// `rms(x · act(gate)) · w`: Mamba2
    case gateThenNorm
}

extension Tape {
    /// Root-mean-square normalisation and an output gate in one pass over memory.
    ///
    /// - Parameters:
    ///   - x: [..., V]
    ///   - gate: before its activation, [..., V]
    ///   - weight: [V]
    ///   - eps: added to the mean square, > 0
    ///   - activation: what the gate goes through
    ///   - order: norm first or gate first
    ///   - groups: each row is cut into this many parts of equal width, normalised apart (Mamba2's norm groups)
    /// - Returns: [..., V]
    /// - Throws: `ShapeError` when `gate` has another shape than `x`, `weight` is not [V], or `groups` does not divide V.
    /// - Source: Yang et al. 2024, Gated Delta Networks, figure 1; Dao and Gu 2024, section 7 (gate first).
    public func gatedRMSNorm(
        _ x: Variable, gate: Variable, weight: Variable, eps: Float, activation: GateActivation = .silu,
        order: GatedNormOrder = .normThenGate, groups: Int = 1
    ) throws -> Variable {
        try gatedRMSNorm(
            x, gate: Columns(gate), weight: weight, eps: eps, activation: activation, order: order, groups: groups)
    }

    /// The same with a gate that may lie beside other results, and whose last dimension may be the last two of x.
    public func gatedRMSNorm(
        _ x: Variable, gate: Columns, weight: Variable, eps: Float, activation: GateActivation = .silu,
        order: GatedNormOrder = .normThenGate, groups: Int = 1
    ) throws -> Variable {
        let joined = Shape(x.shape.dims.dropLast(2) + [x.shape.dims.suffix(2).reduce(1, *)])
        guard gate.shape == x.shape || gate.shape == joined else {
            throw ShapeError("gated_rms_norm", "gate has shape \(gate.shape), expected \(x.shape)")
        }
        try weight.value.require("gated_rms_norm", "weight", shape: [x.shape[-1]])
        guard groups > 0, x.shape[-1] % groups == 0 else {
            throw ShapeError("gated_rms_norm", "\(groups) groups do not divide rows of \(x.shape[-1])")
        }
        switch backend {
        case .cpu(let cpu):
            return inFloat32(cpu, [x, reshape(try variable(gate), x.shape), weight]) { inputs in
                let form = GatedRMSNormCPU(
                    cpu: cpu, eps: eps, sigmoid: activation == .sigmoid ? 1 : 0,
                    gateFirst: order == .gateThenNorm ? 1 : 0, groups: groups)
                return [form.record(on: self, inputs[0], gate: inputs[1], weight: inputs[2])]
            }[0]
        case .cuda(let cuda):
            return try gatedRMSNormCUDA(
                cuda, x, gate: gate, weight: weight, eps: eps, activation: activation, order: order, groups: groups)
        }
    }
}
