/// Test cases of `rms_norm` and `add_rms_norm`.
enum RMSNormCases {
    static let all: [OperationCase] =
        [
            make("tiny", rows: 3, width: 5, tiny: true),
            make("plain", rows: 24, width: 48),
            make("eps_matters", rows: 24, width: 48, scale: 1e-3, eps: 1e-5),
            make("zero_centred", rows: 24, width: 48, offset: 1),
            make("training", rows: 4096, width: 256),
        ] + [1, 63, 64, 65, 100, 257].map { make("ragged_\($0)", rows: $0, width: $0 == 257 ? 100 : 257) } + [
            makeAdd("tiny", rows: 3, width: 5, tiny: true),
            makeAdd("zero_centred", rows: 65, width: 48, offset: 1),
            makeAdd("ragged", rows: 257, width: 100),
            makeAdd("training", rows: 4096, width: 256),
        ]

    private static func make(
        _ name: String, rows: Int, width: Int, scale: Double = 1, eps: Double = 1e-6, offset: Double = 0,
        tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: "rms_norm", name: name,
            inputs: [
                .normal("x", [rows, width], scale: scale),
                .normal("weight", [width], scale: 0.2, mean: 1 - offset).with(alwaysFloat32: true),
            ],
            outputs: ["y"], budget: .float32, tiny: tiny, flops: Double(4 * rows * width),
            bytes: Double(8 * rows * width), reference: RMSNormReference(eps: eps, offset: offset)
        ) { tape, inputs in
            [try tape.rmsNorm(inputs[0], weight: inputs[1], eps: Float(eps), zeroCentred: offset == 1)]
        }
    }

    private static func makeAdd(_ name: String, rows: Int, width: Int, offset: Double = 0, tiny: Bool = false)
        -> OperationCase
    {
        OperationCase(
            operation: "add_rms_norm", name: name,
            inputs: [
                .normal("x", [rows, width]),
                .normal("residual", [rows, width]),
                .normal("weight", [width], scale: 0.2, mean: 1 - offset).with(alwaysFloat32: true),
            ],
            outputs: ["sum", "normed"], budget: .float32, tiny: tiny, flops: Double(5 * rows * width),
            bytes: Double(16 * rows * width),
            reference: AddRMSNormReference(norm: RMSNormReference(eps: 1e-6, offset: offset))
        ) { tape, inputs in
            let (sum, normed) = try tape.addRMSNorm(
                inputs[0], inputs[1], weight: inputs[2], eps: 1e-6, zeroCentred: offset == 1)
            return [sum, normed]
        }
    }
}
