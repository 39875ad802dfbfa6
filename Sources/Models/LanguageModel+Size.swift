import GDNAutograd

extension LanguageModel {
    /// Number of elements of all parameters; a tied head counts once.
    public var parameterCount: Int { parameters.reduce(0) { $0 + $1.value.count } }
}

extension ModelConfiguration {
    /// Parameters of one part of a model.
    public struct Part: Sendable, Equatable {
        /// `embeddings`, `mixers`, `MLPs`, `norms`, `head`.
        public let name: String
        /// Number of elements.
        public let count: Int
    }

    /// Parameters of such a model by part, in the order of the forward pass; a tied head counts nothing.
    public var parts: [Part] {
        let (width, heads) = (hiddenSize, resolvedValueHeads)
        var mixer = 2 * width * keyWidth + 2 * width * valueWidth
        if useDecay { mixer += width * heads + 2 * heads }
        if useBeta { mixer += width * heads }
        if useGate { mixer += width * valueWidth }
        if useShortConvolution { mixer += convolutionSize * (2 * keyWidth + valueWidth) }
        if useOutputNorm { mixer += valueDim }
        let table = vocabularySize * width
        return [
            Part(name: "embeddings", count: table), Part(name: "mixers", count: layers * mixer),
            Part(name: "MLPs", count: layers * 3 * width * resolvedIntermediateSize),
            Part(name: "norms", count: (2 * layers + 1) * width),
            Part(name: "head", count: tieWordEmbeddings ? 0 : table),
        ]
    }

    /// Number of elements of all parameters.
    public var parameterCount: Int { parts.reduce(0) { $0 + $1.count } }

    /// Multiplications and additions of one forward pass per token: matrix products, and the gated delta rule in
    /// chunks of 64.
    public var forwardFLOPsPerToken: Double { matrixFLOPsPerToken + Double(layers) * ruleFLOPsPerToken }

    /// Multiplications and additions of one training step per token: each matrix product, its input's gradient and its
    /// weight's gradient cost the same; the rule's backward is counted by itself. What recomputation repeats and what
    /// costs no product (norms, convolutions, activations, the optimiser) does not count.
    public var trainingFLOPsPerToken: Double { 3 * matrixFLOPsPerToken + Double(layers) * ruleTrainingFLOPsPerToken }

    /// Two operations for each element of each matrix.
    private var matrixFLOPsPerToken: Double {
        let width = Double(hiddenSize)
        let (keys, values, heads) = (Double(keyWidth), Double(valueWidth), Double(resolvedValueHeads))
        let projections = 2 * keys + values * (useGate ? 3 : 2) + heads * ((useDecay ? 1 : 0) + (useBeta ? 1 : 0))
        let mlp = 3 * Double(resolvedIntermediateSize)
        let head = Double(vocabularySize) * width
        return 2 * (Double(layers) * width * (projections + mlp) + head)
    }

    /// The gated delta rule's share in one layer: `2 (2 C K + 3 K V + 2 C V)` a value head, chunk length C = 64.
    public var ruleFLOPsPerToken: Double {
        let (chunk, k, v) = (64.0, Double(headDim), Double(valueDim))
        return Double(resolvedValueHeads) * 2 * (2 * chunk * k + 3 * k * v + 2 * chunk * v)
    }

    /// The rule's share of a training step in one layer: the forward, and `2 (6 K V + C (5 K + 4 V))` for the backward
    /// that starts from the solved values.
    public var ruleTrainingFLOPsPerToken: Double {
        let (chunk, k, v) = (64.0, Double(headDim), Double(valueDim))
        return ruleFLOPsPerToken + Double(resolvedValueHeads) * 2 * (6 * k * v + chunk * (5 * k + 4 * v))
    }
}
