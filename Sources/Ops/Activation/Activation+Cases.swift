/// Test cases of `activation`.
enum ActivationCases {
    static let all: [OperationCase] =
        [Activation.silu, .relu, .onePlusELU].flatMap { activation in
            [
                make("tiny", activation, rows: 3, width: 5, tiny: true),
                make("ragged", activation, rows: 65, width: 257),
                make("extreme", activation, rows: 63, width: 5, scale: 60),
            ]
        } + [make("training", .silu, rows: 4096, width: 768)]

    private static func make(
        _ name: String, _ activation: Activation, rows: Int, width: Int, scale: Double = 1, tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: "activation", name: "\(name)_\(activation.rawValue)",
            inputs: [.normal("x", [rows, width], scale: scale)], outputs: ["y"], budget: .float32, tiny: tiny,
            flops: Double(4 * rows * width), bytes: Double(8 * rows * width),
            reference: ActivationReference(activation: activation)
        ) { tape, inputs in [try tape.activation(inputs[0], activation)] }
    }
}
