import GDNAutograd
import GDNOps
import GDNTensor

/// The token mixer of the paper (section 3.4, figure 1): gated delta rule between short convolutions and a gated norm.
///
///     q, k = norm(SiLU(conv(x W)))     v = SiLU(conv(x W_v))
///     α = exp(−A · softplus(x W_a + dt))     β = σ(x W_b)
///     o = (RMSNorm(rule(q, k, v, α, β)) · SiLU(x W_g)) W_o
final class GatedDeltaNetMixer {
    /// What a mixer carries from one call to the next when it generates.
    struct State {
        /// Last inputs of the convolutions over q, k, v: [N, channels, width − 1]; empty without convolutions.
        var convolutions: [Tensor] = []
        /// [N, HV, K, V]
        var memory: Tensor
        /// Whether one token's step writes to these tensors instead of replacing them: for recorded steps.
        var isUpdatedInPlace = false

        /// The tensors, for a step that writes to them.
        var decodingState: DecodingState<Tensor> { DecodingState(windows: convolutions, memory: memory) }
    }

    private let configuration: ModelConfiguration
    private let query, key, value, output: Parameter
    private let decay, beta, gate, outputNorm: Parameter?
    private let logRate, timeStepBias: Variable?
    private let convolutions: [Parameter]

    /// Makes the parameters under `prefix` (`model.layers.i.attn`).
    init(_ configuration: ModelConfiguration, prefix: String, store: inout ParameterStore) throws {
        self.configuration = configuration
        let width = configuration.hiddenSize
        let (keyWidth, valueWidth) = (configuration.keyWidth, configuration.valueWidth)
        let valueHeads = configuration.resolvedValueHeads
        query = try store.matrix("\(prefix).q_proj.weight", keyWidth, width)
        key = try store.matrix("\(prefix).k_proj.weight", keyWidth, width)
        value = try store.matrix("\(prefix).v_proj.weight", valueWidth, width)
        if configuration.useDecay {
            decay = try store.matrix("\(prefix).a_proj.weight", valueHeads, width)
            logRate = try store.logRate("\(prefix).A_log", valueHeads)
            timeStepBias = try store.timeStepBias("\(prefix).dt_bias", valueHeads)
        } else {
            (decay, logRate, timeStepBias) = (nil, nil, nil)
        }
        beta = configuration.useBeta ? try store.matrix("\(prefix).b_proj.weight", valueHeads, width) : nil
        gate = configuration.useGate ? try store.matrix("\(prefix).g_proj.weight", valueWidth, width) : nil
        ParameterStack([query, key, value] + [gate, decay, beta].compactMap { $0 })
        convolutions =
            configuration.useShortConvolution
            ? try [("q", keyWidth), ("k", keyWidth), ("v", valueWidth)].map { name, channels in
                try store.convolution("\(prefix).\(name)_conv1d.weight", channels, width: configuration.convolutionSize)
            } : []
        outputNorm =
            configuration.useOutputNorm ? try store.norm("\(prefix).o_norm.weight", configuration.valueDim) : nil
        output = try store.matrix("\(prefix).o_proj.weight", width, valueWidth, residual: true)
    }

    /// Mixes x [B, T, D]; with a state, continues from it and replaces it.
    func forward(_ tape: Tape, _ x: Variable, sequences: Tensor?, state: inout State?) throws -> Variable {
        let (batch, time) = (x.shape[0], x.shape[1])
        let optional = [gate, decay, beta].compactMap { $0 }
        let projected = try tape.projections(x, [query, key, value] + optional)
        var rest = projected.dropFirst(3)
        let gateInput = gate == nil ? nil : rest.popFirst()
        let decayInput = decay == nil ? nil : rest.popFirst()
        let betaInput = beta == nil ? nil : rest.popFirst()

        let mixed = try convolve(tape, Array(projected.prefix(3)), sequences: sequences, state: &state)
        let (q, k, v) = (mixed[0], mixed[1], mixed[2])
        let (logDecay, strength) = try gates(tape, decayInput, betaInput)

        let mixedValues: Variable
        if let state, state.isUpdatedInPlace {
            mixedValues = Variable(
                try tape.backend.gatedDeltaRuleStep(
                    q.value, k.value, v.value, logDecay: logDecay?.value, beta: strength?.value, state: state.memory,
                    erases: configuration.useDeltaRule))
        } else {
            let result = try tape.gatedDeltaRule(
                q, k, v, logDecay: logDecay, beta: strength, initialState: state.map { Variable($0.memory) },
                sequences: sequences, erases: configuration.useDeltaRule)
            state?.memory = result.finalState.value
            mixedValues = result.output
        }
        let normed = try normaliseOutput(tape, mixedValues, gateInput)
        return try tape.linear(tape.reshape(normed, [batch, time, configuration.valueWidth]), output)
    }

    /// q, k [B, T, H, K] and v [B, T, HV, V] after convolution, activation and normalisation.
    private func convolve(_ tape: Tape, _ inputs: [Columns], sequences: Tensor?, state: inout State?) throws
        -> [Variable]
    {
        let keyActivation = configuration.keyActivation.operation
        let activations = [keyActivation, keyActivation, .silu]
        var outputs: [Variable] = []
        let lengthsAreOne = configuration.useShortConvolution && configuration.keyNormalisation == .l2
        if configuration.useShortConvolution {
            let parts = inputs.indices.map { index in
                ConvolutionPart(
                    inputs[index], weight: convolutions[index],
                    initialState: state.map { Variable($0.convolutions[index]) },
                    normalises: lengthsAreOne && index < 2)
            }
            // One pass for all that have one activation.
            let groups = keyActivation == .silu ? [0..<3] : [0..<2, 2..<3]
            for group in groups {
                let results = try tape.shortConvolutions(
                    Array(parts[group]), activation: activations[group.lowerBound], headDim: configuration.headDim,
                    eps: Self.normalisationEps, sequences: sequences)
                for (index, result) in zip(group, results) {
                    if let state, state.isUpdatedInPlace {
                        try tape.backend.copy(result.finalState.value, into: state.convolutions[index])
                    } else {
                        state?.convolutions[index] = result.finalState.value
                    }
                    outputs.append(result.output)
                }
            }
        } else {
            outputs = try zip(inputs, activations).map { try tape.activation(tape.variable($0), $1) }
        }
        let rows = outputs[0].shape.dims.dropLast()
        let heads = Shape(rows + [configuration.heads, configuration.headDim])
        let valueHeads = Shape(rows + [configuration.resolvedValueHeads, configuration.valueDim])
        return try outputs.enumerated().map { index, output in
            let shaped = tape.reshape(output, index < 2 ? heads : valueHeads)
            guard index < 2, !lengthsAreOne else { return shaped }
            return try tape.normaliseKeys(
                shaped, kind: configuration.keyNormalisation.operation, eps: Self.normalisationEps)
        }
    }

    private static let normalisationEps: Float = 1e-6

    /// log α and β [B, T, HV]; nil where the switch is off.
    private func gates(_ tape: Tape, _ decayInput: Columns?, _ betaInput: Columns?) throws -> (Variable?, Variable?) {
        guard let input = decayInput ?? betaInput else { return (nil, nil) }
        let inputs: (decay: Columns, beta: Columns)
        if let decayInput, let betaInput {
            inputs = (decayInput, betaInput)
        } else {
            // Read twice, once for a result that nobody wants.
            let twice = Columns(try tape.variable(input))
            inputs = (twice, twice)
        }
        let unused = logRate == nil ? Variable(try tape.backend.zeros([configuration.resolvedValueHeads])) : nil
        guard let logRate = logRate ?? unused, let timeStepBias = timeStepBias ?? unused else { return (nil, nil) }
        let gates = try tape.gates(
            inputs.decay, inputs.beta, aLog: logRate, dtBias: timeStepBias,
            allowNegativeEigenvalues: configuration.allowNegativeEigenvalues)
        return (decayInput == nil ? nil : gates.logDecay, betaInput == nil ? nil : gates.beta)
    }

    private func normaliseOutput(_ tape: Tape, _ o: Variable, _ gateInput: Columns?) throws -> Variable {
        let eps = Float(configuration.normEps)
        switch (outputNorm, gateInput) {
        case (let norm?, let gateInput?):
            return try tape.gatedRMSNorm(
                o, gate: gateInput, weight: norm, eps: eps, activation: .silu, order: .normThenGate)
        case (let norm?, nil): return try tape.rmsNorm(o, weight: norm, eps: eps)
        case (nil, let gateInput?): return try tape.swiGLU(tape.reshape(tape.variable(gateInput), o.shape), o)
        case (nil, nil): return o
        }
    }

    /// Shapes and switches as a step of one token takes them.
    static func decodingOptions(_ configuration: ModelConfiguration) -> DecodingOptions {
        return DecodingOptions(
            heads: configuration.heads, valueHeads: configuration.resolvedValueHeads, keyDim: configuration.headDim,
            valueDim: configuration.valueDim,
            taps: configuration.useShortConvolution ? configuration.convolutionSize : 0,
            keyActivation: configuration.keyActivation.operation,
            keyNormalisation: configuration.keyNormalisation.operation, hasGate: configuration.useGate,
            hasDecay: configuration.useDecay,
            hasBeta: configuration.useBeta, hasOutputNorm: configuration.useOutputNorm,
            allowsNegativeEigenvalues: configuration.allowNegativeEigenvalues, erases: configuration.useDeltaRule,
            eps: Float(configuration.normEps))
    }

    /// The mixer's part of a block's weights.
    func decodingWeights(norm: Variable, mlpNorm: Variable, gate mlpGate: Variable, up: Variable, down: Variable)
        -> DecodingWeights<Variable>
    {
        var rates: (logRate: Variable, timeStepBias: Variable)?
        if let logRate, let timeStepBias { rates = (logRate, timeStepBias) }
        return DecodingWeights(
            norm: norm, projections: [query, key, value, gate, decay, beta], filters: convolutions, decay: rates,
            outputNorm: outputNorm, output: output, mlpNorm: mlpNorm, gate: mlpGate, up: up, down: down)
    }

    /// A state of zeros for `batch` sequences.
    func emptyState(_ backend: Backend, batch: Int) throws -> State {
        let widths = [configuration.keyWidth, configuration.keyWidth, configuration.valueWidth]
        let history = configuration.convolutionSize - 1
        return State(
            convolutions: try configuration.useShortConvolution
                ? widths.map { try backend.zeros([batch, $0, history]) } : [],
            memory: try backend.zeros([
                batch, configuration.resolvedValueHeads, configuration.headDim, configuration.valueDim,
            ]))
    }
}

extension ModelConfiguration.KeyActivation {
    /// As the operations call it.
    var operation: Activation {
        switch self {
        case .silu: .silu
        case .relu: .relu
        case .elu: .onePlusELU
        }
    }
}

extension ModelConfiguration.KeyNormalisation {
    /// As the operations call it.
    var operation: GDNOps.KeyNormalisation {
        switch self {
        case .l2: .l2
        case .l1: .l1
        case .softmax: .softmax
        case .none: .none
        }
    }
}
