import GDNAutograd

/// Test cases of `swiglu`.
enum SwiGLUCases {
    static let all: [OperationCase] =
        [
            make("tiny", rows: 3, width: 5, tiny: true),
            make("extreme", rows: 24, width: 48, scale: 40),
            make("side_by_side", rows: 65, width: 48, amongOthers: true),
            make("side_by_side_ragged", rows: 65, width: 33, amongOthers: true),
            make("training", rows: 4096, width: 704),
        ] + [1, 63, 64, 65, 100, 257].map { make("ragged_\($0)", rows: $0, width: 33) }

    private static func make(
        _ name: String, rows: Int, width: Int, scale: Double = 1, amongOthers: Bool = false, tiny: Bool = false
    )
        -> OperationCase
    {
        OperationCase(
            operation: "swiglu", name: name,
            inputs: [.normal("gate", [rows, width], scale: scale), .normal("up", [rows, width])], outputs: ["y"],
            budget: .float32, tiny: tiny, flops: Double(5 * rows * width), bytes: Double(12 * rows * width),
            reference: SwiGLUReference()
        ) { tape, inputs in
            let projections = try amongOthers ? tape.amongOthers(inputs) : inputs.map { Columns($0) }
            return [try tape.swiGLU(projections[0], projections[1])]
        }
    }
}
