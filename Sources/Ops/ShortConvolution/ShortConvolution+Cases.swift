import GDNAutograd
import GDNTensor

/// Test cases of `short_convolution`.
enum ShortConvolutionCases {
    static let all: [OperationCase] =
        [
            make("tiny", x: [2, 5, 3], bias: true, state: true, tiny: true),
            make("tiny_packed", x: [1, 7, 3], width: 3, state: true, boundaries: [0, 1, 1, 3, 7], tiny: true),
            make("tiny_no_activation", x: [1, 5, 2], width: 2, activation: .none, state: true, tiny: true),
            make("tiny_relu", x: [1, 5, 2], activation: .relu, bias: true, tiny: true),
            make("tiny_one_plus_elu", x: [1, 5, 2], activation: .onePlusELU, bias: true, tiny: true),
            make("one_step", x: [3, 1, 48], state: true),
            make("shorter_than_filter", x: [2, 2, 17], bias: true, state: true),
            make("batch_3", x: [3, 65, 257], bias: true, state: true),
            make("packed", x: [1, 300, 40], bias: true, boundaries: [0, 1, 64, 66, 129, 300]),
            make("packed_state", x: [1, 300, 40], state: true, boundaries: [0, 2, 2, 256, 258, 300]),
            make("channels_300", x: [1, 100, 300], width: 3, bias: true),
            make(
                "side_by_side", x: [1, 300, 40], state: true, boundaries: [0, 2, 2, 256, 258, 300], amongOthers: true),
            make("side_by_side_ragged", x: [3, 65, 257], bias: true, state: true, amongOthers: true),
            make("side_by_side_step", x: [7, 1, 48], state: true, amongOthers: true),
            make("training", x: [1, 4096, 768]),
        ] + [1, 63, 64, 65, 100, 257, 513].map { make("ragged_T\($0)", x: [1, $0, 33], bias: true) }
        + [1, 2, 3, 5, 8].map { make("width_\($0)", x: [2, 63, 65], width: $0, bias: true, state: true) }

    private static func make(
        _ name: String, x: Shape, width: Int = 4, activation: Activation = .silu, bias: Bool = false,
        state: Bool = false, boundaries: [Int]? = nil, amongOthers: Bool = false, tiny: Bool = false
    ) -> OperationCase {
        let channels = x[2]
        let sequences = boundaries.map { $0.count - 1 } ?? x[0]
        var inputs: [OperationCase.Input] = [
            .normal("x", x),
            .normal("weight", [channels, width], scale: 0.5).with(alwaysFloat32: true),
        ]
        if bias { inputs.append(.normal("bias", [channels], scale: 0.3).with(alwaysFloat32: true)) }
        if state {
            inputs.append(.normal("initial_state", [sequences, channels, width - 1]).with(alwaysFloat32: true))
        }
        if let boundaries { inputs.append(.integers("cu_seqlens", boundaries)) }
        return OperationCase(
            operation: "short_convolution", name: name, inputs: inputs, outputs: ["y", "final_state"],
            budget: .float32, tiny: tiny, flops: Double((2 * width + 4) * x.count), bytes: Double(8 * x.count),
            reference: ShortConvolutionReference(
                activation: activation, hasBias: bias, hasState: state, packed: boundaries != nil)
        ) { tape, inputs in
            let x = try amongOthers ? tape.amongOthers([inputs[0]])[0] : Columns(inputs[0])
            let (output, finalState) = try tape.shortConvolution(
                x, weight: inputs[1], bias: bias ? inputs[2] : nil, activation: activation,
                initialState: state ? inputs[bias ? 3 : 2] : nil,
                sequences: boundaries == nil ? nil : inputs[inputs.count - 1].value)
            return [output, finalState]
        }
    }

    /// Test cases of `short_convolutions`: q, k and v of a mixer, with heads of q and k normalised.
    static let several: [OperationCase] = [
        makeSeveral("tiny", rows: [1, 5], heads: 1, headDim: 4, values: 3, tiny: true),
        makeSeveral("heads_64", rows: [2, 65], heads: 2, headDim: 64, values: 136),
        makeSeveral(
            "heads_128_packed", rows: [1, 300], heads: 3, headDim: 128, values: 64,
            boundaries: [0, 2, 2, 256, 258, 300]),
        makeSeveral("heads_256", rows: [3, 37], heads: 1, headDim: 256, values: 512),
        makeSeveral("heads_256_states", rows: [2, 66], heads: 2, headDim: 256, values: 40, states: true),
        makeSeveral("heads_96", rows: [1, 33], heads: 2, headDim: 96, values: 64),
        makeSeveral("one_token", rows: [5, 1], heads: 2, headDim: 64, values: 128, states: true),
        makeSeveral("relu", rows: [1, 70], heads: 1, headDim: 128, values: 128, activation: .relu),
        makeSeveral("training", rows: [1, 4096], heads: 2, headDim: 256, values: 1024),
    ]

    private static func makeSeveral(
        _ name: String, rows: [Int], heads: Int, headDim: Int, values: Int, activation: Activation = .silu,
        states: Bool = false, boundaries: [Int]? = nil, tiny: Bool = false
    ) -> OperationCase {
        let channels = [heads * headDim, heads * headDim, values]
        let sequences = boundaries.map { $0.count - 1 } ?? rows[0]
        var inputs = zip(["q", "k", "v"], channels).flatMap { name, channels -> [OperationCase.Input] in
            [
                .normal(name, Shape(rows + [channels])),
                .normal("weight_\(name)", [channels, 4], scale: 0.5).with(alwaysFloat32: true),
            ]
                + (states ? [.normal("state_\(name)", [sequences, channels, 3]).with(alwaysFloat32: true)] : [])
        }
        if let boundaries { inputs.append(.integers("cu_seqlens", boundaries)) }
        let perPart = states ? 3 : 2
        let elements = rows[0] * rows[1] * channels.reduce(0, +)
        return OperationCase(
            operation: "short_convolutions", name: name, inputs: inputs,
            outputs: ["q", "k", "v"].flatMap { ["y_\($0)", "final_state_\($0)"] }, budget: .float32, tiny: tiny,
            flops: Double(14 * elements), bytes: Double(8 * elements),
            reference: ShortConvolutionsReference(
                headDim: headDim, eps: 1e-6,
                convolution: ShortConvolutionReference(
                    activation: activation, hasState: states, packed: boundaries != nil))
        ) { tape, inputs in
            let projections = try tape.amongOthers([inputs[0], inputs[perPart], inputs[2 * perPart]])
            let parts = projections.enumerated().map { index, projection in
                ConvolutionPart(
                    projection, weight: inputs[index * perPart + 1],
                    initialState: states ? inputs[index * perPart + 2] : nil, normalises: index < 2)
            }
            return try tape.shortConvolutions(
                parts, activation: activation, headDim: headDim, eps: 1e-6,
                sequences: boundaries == nil ? nil : inputs[inputs.count - 1].value
            ).flatMap { [$0.output, $0.finalState] }
        }
    }
}
