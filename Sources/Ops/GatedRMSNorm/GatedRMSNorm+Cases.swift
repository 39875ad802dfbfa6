import GDNAutograd
import GDNTensor

/// Test cases of `gated_rms_norm`.
enum GatedRMSNormCases {
    static let all: [OperationCase] =
        variants.flatMap { activation, order in
            [
                make("tiny", activation, order, shape: [3, 5], tiny: true),
                make("tiny_groups", activation, order, shape: [2, 6], groups: 2, tiny: true),
                make("ragged", activation, order, shape: [257, 100]),
                make("heads_3", activation, order, shape: [3, 65, 3, 48]),
                make("groups", activation, order, shape: [65, 96], groups: 3),
                make("side_by_side", activation, order, shape: [3, 65, 3, 48], amongOthers: true),
                make("side_by_side_groups", activation, order, shape: [65, 96], groups: 3, amongOthers: true),
            ]
        } + [1, 63, 64, 65, 100].map { make("ragged_\($0)", .silu, .normThenGate, shape: [$0, 257]) } + [
            make("training", .silu, .normThenGate, shape: [1, 4096, 4, 128])
        ]

    private static let variants: [(GateActivation, GatedNormOrder)] = [
        (.silu, .normThenGate), (.sigmoid, .normThenGate), (.silu, .gateThenNorm), (.sigmoid, .gateThenNorm),
    ]

    private static func make(
        _ name: String, _ activation: GateActivation, _ order: GatedNormOrder, shape: Shape, groups: Int = 1,
        amongOthers: Bool = false, tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: "gated_rms_norm",
            name: "\(name)_\(order == .normThenGate ? "norm_then" : "gate_first")_\(activation.rawValue)",
            inputs: [
                .normal("x", shape),
                .normal("gate", shape),
                .normal("weight", [shape[-1]], scale: 0.2, mean: 1).with(alwaysFloat32: true),
            ],
            outputs: ["y"], budget: .float32, tiny: tiny, flops: Double(8 * shape.count),
            bytes: Double(12 * shape.count),
            reference: GatedRMSNormReference(activation: activation, order: order, groups: groups)
        ) { tape, inputs in
            // Where x has heads, a row of the projection is those of a token.
            let joined = Shape(shape.dims.dropLast(2) + [shape.dims.suffix(2).reduce(1, *)])
            let gate =
                try amongOthers
                ? tape.amongOthers([tape.reshape(inputs[1], shape.rank > 2 ? joined : shape)])[0] : Columns(inputs[1])
            return [
                try tape.gatedRMSNorm(
                    inputs[0], gate: gate, weight: inputs[2], eps: 1e-6, activation: activation, order: order,
                    groups: groups)
            ]
        }
    }
}
