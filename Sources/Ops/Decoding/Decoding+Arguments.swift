import GDNTensor

/// Shapes and switches of a block that one token's step depends on.
package struct DecodingOptions: Sendable {
    /// Key heads H.
    package var heads: Int
    /// Value heads HV, a multiple of `heads`.
    package var valueHeads: Int
    /// Key dim K of a head.
    package var keyDim: Int
    /// Value dim V of a head.
    package var valueDim: Int
    /// Width of the short convolutions over q, k and v; 0 without them.
    package var taps: Int
    /// Activation of q and k; that of v is SiLU.
    package var keyActivation: Activation
    /// Normalisation of q and k.
    package var keyNormalisation: KeyNormalisation
    /// Output gate.
    package var hasGate: Bool
    /// Decay α; 1 without.
    package var hasDecay: Bool
    /// Write strength β; 1 without.
    package var hasBeta: Bool
    /// RMS norm of every head's output.
    package var hasOutputNorm: Bool
    /// β in (0, 2).
    package var allowsNegativeEigenvalues: Bool
    /// Whether keys erase before they write: the delta rule.
    package var erases: Bool
    /// Added to mean squares.
    package var eps: Float

    /// Options of a block.
    package init(
        heads: Int, valueHeads: Int, keyDim: Int, valueDim: Int, taps: Int = 4, keyActivation: Activation = .silu,
        keyNormalisation: KeyNormalisation = .l2, hasGate: Bool = true, hasDecay: Bool = true, hasBeta: Bool = true,
        hasOutputNorm: Bool = true, allowsNegativeEigenvalues: Bool = false, erases: Bool = true, eps: Float = 1e-6
    ) {
        self.heads = heads
        self.valueHeads = valueHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.taps = taps
        self.keyActivation = keyActivation
        self.keyNormalisation = keyNormalisation
        self.hasGate = hasGate
        self.hasDecay = hasDecay
        self.hasBeta = hasBeta
        self.hasOutputNorm = hasOutputNorm
        self.allowsNegativeEigenvalues = allowsNegativeEigenvalues
        self.erases = erases
        self.eps = eps
    }

    var keyWidth: Int { heads * keyDim }
    var valueWidth: Int { valueHeads * valueDim }
    /// Rows of the matrices q, k, v, gate, a and b; 0 where there is none.
    var projectionRows: [Int] {
        [
            keyWidth, keyWidth, valueWidth, hasGate ? valueWidth : 0, hasDecay ? valueHeads : 0,
            hasBeta ? valueHeads : 0,
        ]
    }
}

/// The weights of a block, as variables, tensors or arrays.
package struct DecodingWeights<Value> {
    /// Of the norm before the mixer, [D].
    package var norm: Value
    /// Matrices q, k [H K, D], v, gate [HV V, D], a, b [HV, D]; nil where there is none.
    package var projections: [Value?]
    /// Filters over q, k and v, [channels, taps]; empty without convolutions.
    package var filters: [Value]
    /// `A_log` and `dt_bias`, [HV] each.
    package var decay: (logRate: Value, timeStepBias: Value)?
    /// Of the norm of every head, [V].
    package var outputNorm: Value?
    /// [D, HV V]
    package var output: Value
    /// Of the norm before the MLP, [D].
    package var mlpNorm: Value
    /// [F, D]
    package var gate: Value
    /// [F, D]
    package var up: Value
    /// [D, F]
    package var down: Value

    /// Weights by name.
    package init(
        norm: Value, projections: [Value?], filters: [Value], decay: (logRate: Value, timeStepBias: Value)?,
        outputNorm: Value?, output: Value, mlpNorm: Value, gate: Value, up: Value, down: Value
    ) {
        self.norm = norm
        self.projections = projections
        self.filters = filters
        self.decay = decay
        self.outputNorm = outputNorm
        self.output = output
        self.mlpNorm = mlpNorm
        self.gate = gate
        self.up = up
        self.down = down
    }
}

/// What a block carries from token to token.
package struct DecodingState<Value> {
    /// Last inputs of the convolutions over q, k and v, [B, channels, taps − 1]; empty without convolutions.
    package var windows: [Value]
    /// [B, HV, K, V]
    package var memory: Value

    /// A state.
    package init(windows: [Value], memory: Value) {
        self.windows = windows
        self.memory = memory
    }
}

/// The arguments of a step in the order of a case: stream, weights, state, as far as they are there.
struct DecodingArguments<Value> {
    var stream: Value
    var weights: DecodingWeights<Value>
    var state: DecodingState<Value>

    init(_ options: DecodingOptions, _ values: [Value]) {
        var index = 0
        func next() -> Value {
            index += 1
            return values[index - 1]
        }
        stream = next()
        let norm = next()
        let projections = options.projectionRows.map { $0 > 0 ? next() : nil }
        let filters = options.taps > 0 ? (0..<3).map { _ in next() } : []
        let decay = options.hasDecay ? (logRate: next(), timeStepBias: next()) : nil
        let outputNorm = options.hasOutputNorm ? next() : nil
        weights = DecodingWeights(
            norm: norm, projections: projections, filters: filters, decay: decay, outputNorm: outputNorm,
            output: next(), mlpNorm: next(), gate: next(), up: next(), down: next())
        let windows = options.taps > 0 ? (0..<3).map { _ in next() } : []
        state = DecodingState(windows: windows, memory: next())
    }
}
