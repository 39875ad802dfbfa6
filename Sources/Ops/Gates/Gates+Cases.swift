import GDNAutograd
import GDNTensor

/// Test cases of `gates`.
enum GatesCases {
    static let all: [OperationCase] = [
        make("tiny", rows: 3, heads: 2, tiny: true),
        make("default", rows: 80, heads: 2),
        make("negative_eigenvalues", rows: 70, heads: 4, strength: 2),
        make("saturated", rows: 257, heads: 3, scale: 30),
        make("side_by_side", rows: 257, heads: 6, amongOthers: true),
        make("side_by_side_many", rows: 70, heads: 35, amongOthers: true),
        make("training", rows: 4096, heads: 4),
    ]

    private static func make(
        _ name: String, rows: Int, heads: Int, strength: Double = 1, scale: Double = 1, amongOthers: Bool = false,
        tiny: Bool = false
    ) -> OperationCase {
        let elements = rows * heads
        return OperationCase(
            operation: "gates", name: name,
            inputs: [
                .normal("a", [1, rows, heads], scale: scale).with(isGate: true),
                .normal("b", [1, rows, heads], scale: scale).with(isGate: true),
                // A ~ U(0, 16], step sizes around 0.01
                OperationCase.Input(
                    name: "aLog", shape: [heads], alwaysFloat32: true, isGate: true,
                    draw: { Double.logarithm(16 * max($0.uniform(), 1e-3)) }),
                .normal("dtBias", [heads], mean: -4.6).with(alwaysFloat32: true, isGate: true),
            ],
            outputs: ["logDecay", "beta"], budget: .float32, tiny: tiny, flops: Double(40 * elements),
            bytes: Double(16 * elements), reference: GatesReference(strength: strength)
        ) { tape, inputs in
            let projections = try amongOthers ? tape.amongOthers([inputs[0], inputs[1]]) : inputs.map { Columns($0) }
            let (logDecay, beta) = try tape.gates(
                projections[0], projections[1], aLog: inputs[2], dtBias: inputs[3],
                allowNegativeEigenvalues: strength == 2)
            return [logDecay, beta]
        }
    }
}
