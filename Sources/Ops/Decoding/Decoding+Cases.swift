import GDNTensor

/// Test cases of `decoding`.
enum DecodingCases {
    static let all: [OperationCase] = [
        make("batch_1", batch: 1),
        make("batch_2", batch: 2, D: 40, F: 56, options(H: 1, K: 24, V: 40)),
        make("batch_3_grouped", batch: 3, options(H: 2, HV: 6, K: 16, V: 12)),
        make("batch_4_negative_eigenvalues", batch: 4, options(H: 2, K: 32, V: 64, negative: true)),
        make("batch_5_no_convolution", batch: 5, options(H: 3, K: 8, V: 8, taps: 0)),
        make("batch_7_two_taps", batch: 7, options(H: 2, K: 16, V: 32, taps: 2, activation: .relu)),
        make("batch_8", batch: 8, D: 264, F: 296, options(H: 2, K: 40, V: 36)),
        make("batch_9", batch: 9),
        make("batch_17_grouped", batch: 17, options(H: 2, HV: 4, K: 16, V: 32, negative: true)),
        make("batch_64_no_convolution", batch: 64, options(H: 1, K: 16, V: 32, taps: 0)),
        make("batch_33_ragged", batch: 33, D: 264, F: 1_032, options(H: 1, K: 24, V: 40)),
        make("batch_64_slices", batch: 64, D: 520, F: 2_056, options(H: 2, K: 32, V: 264)),
        make("batch_65", batch: 65),
        make("no_gate", batch: 2, options(H: 2, K: 16, V: 32, gate: false)),
        make("no_gate_batch_12", batch: 12, options(H: 2, K: 16, V: 32, gate: false)),
        make("no_output_norm", batch: 1, options(H: 2, K: 16, V: 32, outputNorm: false)),
        make("no_gate_no_output_norm", batch: 1, options(H: 2, K: 16, V: 32, gate: false, outputNorm: false)),
        make("no_decay", batch: 2, options(H: 2, K: 16, V: 32, decay: false)),
        make("no_beta", batch: 2, options(H: 2, K: 16, V: 32, beta: false)),
        make("no_gates", batch: 1, options(H: 2, K: 16, V: 32, decay: false, beta: false)),
        make("unnormalised_keys", batch: 1, options(H: 2, K: 16, V: 32, normalisation: .none)),
        make("elu_keys", batch: 2, options(H: 2, K: 16, V: 32, activation: .onePlusELU)),
        make("no_erase", batch: 2, options(H: 2, K: 16, V: 32, erases: false)),
        // Shapes without fused kernels: the operations one after the other.
        make("l1_keys", batch: 2, options(H: 2, K: 16, V: 32, normalisation: .l1)),
        make("odd_widths", batch: 2, D: 36, F: 44, options(H: 1, K: 10, V: 6)),
        make("head_256_512", batch: 1, D: 128, F: 160, options(H: 1, K: 256, V: 512)),
        make("head_96_192_batch_8", batch: 8, D: 128, F: 160, options(H: 1, K: 96, V: 192)),
        make("head_200_400_batch_10", batch: 10, D: 128, F: 160, options(H: 1, K: 200, V: 400)),
        make("many_units", batch: 2, D: 64, F: 12_000, options(H: 1, K: 16, V: 32)),
    ]

    private static func options(
        H: Int, HV: Int? = nil, K: Int, V: Int, taps: Int = 4, activation: Activation = .silu,
        normalisation: KeyNormalisation = .l2, gate: Bool = true, decay: Bool = true, beta: Bool = true,
        outputNorm: Bool = true, negative: Bool = false, erases: Bool = true
    ) -> DecodingOptions {
        DecodingOptions(
            heads: H, valueHeads: HV ?? H, keyDim: K, valueDim: V, taps: taps, keyActivation: activation,
            keyNormalisation: normalisation, hasGate: gate, hasDecay: decay, hasBeta: beta, hasOutputNorm: outputNorm,
            allowsNegativeEigenvalues: negative, erases: erases)
    }

    private static func make(
        _ name: String, batch: Int, D: Int = 64, F: Int = 96, _ options: DecodingOptions = options(H: 2, K: 16, V: 32)
    ) -> OperationCase {
        typealias Input = OperationCase.Input
        func matrix(_ name: String, _ rows: Int, _ columns: Int) -> Input {
            .normal(name, [rows, columns], scale: 1 / Double(columns).squareRoot()).with(differentiable: false)
        }
        func numbers(_ name: String, _ shape: Shape, scale: Double, mean: Double = 0) -> Input {
            .normal(name, shape, scale: scale, mean: mean).with(differentiable: false, alwaysFloat32: true)
        }
        let (rows, taps) = (options.projectionRows, options.taps)
        let names = ["q", "k", "v"]
        let projections = zip(names + ["gate", "a", "b"], rows).filter { $1 > 0 }.map { matrix($0, $1, D) }
        let filters = taps > 0 ? zip(names, rows).map { numbers("\($0)Filter", [$1, taps], scale: 0.5) } : []
        let windows =
            taps > 0 ? zip(names, rows).map { numbers("\($0)Window", [batch, $1, taps - 1], scale: 1) } : []
        let decay: [Input] =
            options.hasDecay
            ? [
                Input(
                    name: "aLog", shape: [options.valueHeads], differentiable: false, alwaysFloat32: true,
                    draw: { Double.logarithm(16 * max($0.uniform(), 1e-3)) }),
                numbers("dtBias", [options.valueHeads], scale: 1, mean: -4.6),
            ] : []
        let norms = (0..<2).map { numbers($0 == 0 ? "norm" : "mlpNorm", [D], scale: 0.1, mean: 1) }
        let outputNorm =
            options.hasOutputNorm ? [numbers("outputNorm", [options.valueDim], scale: 0.1, mean: 1)] : []
        let memory = numbers(
            "memory", [batch, options.valueHeads, options.keyDim, options.valueDim], scale: 0.3)
        let inputs: [Input] =
            [numbers("stream", [batch, D], scale: 1), norms[0]] + projections + filters + decay + outputNorm
            + [matrix("output", D, options.valueWidth), norms[1], matrix("gateMLP", F, D), matrix("up", F, D)]
            + [matrix("down", D, F)] + windows + [memory]
        let weights = projections.reduce(0) { $0 + $1.shape.count } + D * (options.valueWidth + 3 * F)
        return OperationCase(
            operation: "decoding", name: name, inputs: inputs,
            outputs: ["stream"] + windows.map(\.name) + ["memory"], budget: .float32Reassociated,
            hasMatrixProducts: true,
            flops: Double(batch * (2 * weights + 7 * memory.shape.count / batch)),
            bytes: Double(4 * weights + 8 * memory.shape.count), reference: DecodingReference(options: options)
        ) { tape, values in
            let arguments = DecodingArguments(options, values)
            let result = try tape.decodingStep(
                arguments.stream, weights: arguments.weights, state: arguments.state, options: options)
            return [result.stream] + result.state.windows + [result.state.memory]
        }
    }
}
