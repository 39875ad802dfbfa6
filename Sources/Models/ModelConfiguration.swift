import FoundationEssentials

/// The shape and the switches of a Gated DeltaNet language model, under the keys of flash-linear-attention's
/// `config.json` (`model_type: gated_deltanet`), with that library's defaults.
///
/// The keys of the paper's ablation that flash-linear-attention lacks are ours: `use_decay`, `use_delta_rule`,
/// `use_beta`, `use_output_norm`, `qk_norm` and `qk_activation`. They are written only where they differ from the default.
public struct ModelConfiguration: Codable, Sendable, Equatable {
    /// Normalisation of queries and keys.
    public enum KeyNormalisation: String, Codable, Sendable, CaseIterable {
        /// x / √(Σx² + 1e-6)
        case l2
        /// x / (Σ|x| + 1e-6)
        case l1
        /// eˣ / Σeˣ
        case softmax
        /// as it is
        case none
    }

    /// Activation of queries and keys after their convolution.
    public enum KeyActivation: String, Codable, Sendable, CaseIterable {
        /// x σ(x)
        case silu
        /// max(x, 0)
        case relu
        /// 1 + ELU(x)
        case elu
    }

    /// Always `gated_deltanet`.
    public var modelType = "gated_deltanet"
    /// Width D of the residual stream.
    public var hiddenSize = 2048
    /// Number of blocks.
    public var layers = 21
    /// Number of key heads H.
    public var heads = 6
    /// Number of value heads HV, a multiple of `heads`; `heads` when nil.
    public var valueHeads: Int?
    /// Key dim K of a head.
    public var headDim = 256
    /// Value dim of a head as a multiple of the key dim.
    public var expandValue = 2.0
    /// Output gate: `RMSNorm(o) · SiLU(x W_g)`.
    public var useGate = true
    /// Short convolutions over queries, keys and values.
    public var useShortConvolution = true
    /// Width of the short convolutions in tokens.
    public var convolutionSize = 4
    /// β in (0, 2): lets the transition have negative eigenvalues.
    public var allowNegativeEigenvalues = false
    /// MLP width as a multiple of `hiddenSize`, before the factor 2/3 and rounding up to 256.
    public var hiddenRatio = 4.0
    /// MLP width F; from `hiddenRatio` when nil.
    public var intermediateSize: Int?
    /// Added to mean squares in RMSNorm.
    public var normEps = 1e-6
    /// Number of tokens W.
    public var vocabularySize = 32000
    /// Whether the head is the embedding table.
    public var tieWordEmbeddings = false
    /// Token that begins a text.
    public var bosTokenID: Int? = 1
    /// Token that ends a text.
    public var eosTokenID: Int? = 2
    /// Standard deviation of the FLA scheme's normal initialisation.
    public var initializerRange = 0.02
    /// Decay α; without it the delta rule of DeltaNet.
    public var useDecay = true
    /// Erasing what a key holds before a write; without it gated linear attention, S ← α S + β k vᵀ (CPU only).
    public var useDeltaRule = true
    /// Learned write strength β; without it β = 1.
    public var useBeta = true
    /// RMSNorm of the mixer's output, per head.
    public var useOutputNorm = true
    /// Normalisation of queries and keys.
    public var keyNormalisation = KeyNormalisation.l2
    /// Activation of queries and keys.
    public var keyActivation = KeyActivation.silu

    /// The defaults of flash-linear-attention: 21 × 2048, 6 heads of 256/512.
    public init() {}

    /// Number of value heads HV.
    public var resolvedValueHeads: Int { valueHeads ?? heads }
    /// Value dim V of a head.
    public var valueDim: Int { Int((Double(headDim) * expandValue).rounded()) }
    /// Width of all keys, H · K.
    public var keyWidth: Int { heads * headDim }
    /// Width of all values, HV · V.
    public var valueWidth: Int { resolvedValueHeads * valueDim }
    /// MLP width F.
    public var resolvedIntermediateSize: Int {
        if let intermediateSize { return intermediateSize }
        let wanted = Int(Double(hiddenSize) * hiddenRatio * 2 / 3)
        return (wanted + 255) / 256 * 256
    }

    enum CodingKeys: String, CodingKey, CaseIterable {
        case modelType = "model_type"
        case hiddenSize = "hidden_size"
        case layers = "num_hidden_layers"
        case heads = "num_heads"
        case valueHeads = "num_v_heads"
        case headDim = "head_dim"
        case expandValue = "expand_v"
        case useGate = "use_gate"
        case useShortConvolution = "use_short_conv"
        case convolutionSize = "conv_size"
        case allowNegativeEigenvalues = "allow_neg_eigval"
        case hiddenRatio = "hidden_ratio"
        case intermediateSize = "intermediate_size"
        case normEps = "norm_eps"
        case vocabularySize = "vocab_size"
        case tieWordEmbeddings = "tie_word_embeddings"
        case bosTokenID = "bos_token_id"
        case eosTokenID = "eos_token_id"
        case initializerRange = "initializer_range"
        case useDecay = "use_decay"
        case useDeltaRule = "use_delta_rule"
        case useBeta = "use_beta"
        case useOutputNorm = "use_output_norm"
        case keyNormalisation = "qk_norm"
        case keyActivation = "qk_activation"
    }

    /// The keys of `config.json` this type reads; a recipe's `model` section accepts the same.
    public static var keys: [String] { CodingKeys.allCases.map(\.rawValue) }

    /// Reads the keys present and takes the defaults for the rest. A null is a missing key.
    public init(from decoder: any Decoder) throws {
        self.init()
        let values = try decoder.container(keyedBy: CodingKeys.self)
        func read<Value: Decodable>(_ key: CodingKeys, _ value: inout Value) throws {
            if let present = try values.decodeIfPresent(Value.self, forKey: key) { value = present }
        }
        try read(.modelType, &modelType)
        try read(.hiddenSize, &hiddenSize)
        try read(.layers, &layers)
        try read(.heads, &heads)
        valueHeads = try values.decodeIfPresent(Int.self, forKey: .valueHeads)
        try read(.headDim, &headDim)
        try read(.expandValue, &expandValue)
        try read(.useGate, &useGate)
        try read(.useShortConvolution, &useShortConvolution)
        try read(.convolutionSize, &convolutionSize)
        try read(.allowNegativeEigenvalues, &allowNegativeEigenvalues)
        try read(.hiddenRatio, &hiddenRatio)
        intermediateSize = try values.decodeIfPresent(Int.self, forKey: .intermediateSize)
        try read(.normEps, &normEps)
        try read(.vocabularySize, &vocabularySize)
        try read(.tieWordEmbeddings, &tieWordEmbeddings)
        if values.contains(.bosTokenID) { bosTokenID = try values.decodeIfPresent(Int.self, forKey: .bosTokenID) }
        if values.contains(.eosTokenID) { eosTokenID = try values.decodeIfPresent(Int.self, forKey: .eosTokenID) }
        try read(.initializerRange, &initializerRange)
        try read(.useDecay, &useDecay)
        try read(.useDeltaRule, &useDeltaRule)
        try read(.useBeta, &useBeta)
        try read(.useOutputNorm, &useOutputNorm)
        try read(.keyNormalisation, &keyNormalisation)
        try read(.keyActivation, &keyActivation)
    }

    /// Writes flash-linear-attention's keys, and ours where they differ from the default.
    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        let usual = ModelConfiguration()
        try values.encode(modelType, forKey: .modelType)
        try values.encode(hiddenSize, forKey: .hiddenSize)
        try values.encode(layers, forKey: .layers)
        try values.encode(heads, forKey: .heads)
        try values.encode(valueHeads, forKey: .valueHeads)
        try values.encode(headDim, forKey: .headDim)
        try values.encode(expandValue, forKey: .expandValue)
        try values.encode(useGate, forKey: .useGate)
        try values.encode(useShortConvolution, forKey: .useShortConvolution)
        try values.encode(convolutionSize, forKey: .convolutionSize)
        try values.encode(allowNegativeEigenvalues, forKey: .allowNegativeEigenvalues)
        try values.encode(hiddenRatio, forKey: .hiddenRatio)
        try values.encode(intermediateSize, forKey: .intermediateSize)
        try values.encode(normEps, forKey: .normEps)
        try values.encode(vocabularySize, forKey: .vocabularySize)
        try values.encode(tieWordEmbeddings, forKey: .tieWordEmbeddings)
        try values.encode(bosTokenID, forKey: .bosTokenID)
        try values.encode(eosTokenID, forKey: .eosTokenID)
        try values.encode(initializerRange, forKey: .initializerRange)
        if useDecay != usual.useDecay { try values.encode(useDecay, forKey: .useDecay) }
        if useDeltaRule != usual.useDeltaRule { try values.encode(useDeltaRule, forKey: .useDeltaRule) }
        if useBeta != usual.useBeta { try values.encode(useBeta, forKey: .useBeta) }
        if useOutputNorm != usual.useOutputNorm { try values.encode(useOutputNorm, forKey: .useOutputNorm) }
        if keyNormalisation != usual.keyNormalisation { try values.encode(keyNormalisation, forKey: .keyNormalisation) }
        if keyActivation != usual.keyActivation { try values.encode(keyActivation, forKey: .keyActivation) }
    }
}
