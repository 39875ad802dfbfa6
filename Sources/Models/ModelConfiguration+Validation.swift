/// A model configuration that cannot be built; says which key, what it is and what it may be.
public struct ConfigurationError: Error, CustomStringConvertible, Equatable, Sendable {
    /// One sentence.
    public let message: String

    /// An error with its sentence.
    public init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}

extension ModelConfiguration {
    /// Checks that the model can be built.
    /// - Throws: `ConfigurationError` naming the first key that does not fit.
    public func validate() throws {
        guard modelType == "gated_deltanet" else {
            throw ConfigurationError("model_type is \(modelType); supported: gated_deltanet")
        }
        try requirePositive("hidden_size", hiddenSize)
        try requirePositive("num_hidden_layers", layers)
        try requirePositive("num_heads", heads)
        try requirePositive("head_dim", headDim)
        try requirePositive("vocab_size", vocabularySize)
        try requirePositive("intermediate_size", resolvedIntermediateSize)
        guard headDim <= 512 else { throw ConfigurationError("head_dim is \(headDim); at most 512 is supported") }
        let exact = Double(headDim) * expandValue
        guard exact == exact.rounded(), valueDim >= 1, valueDim <= 512 else {
            throw ConfigurationError(
                "expand_v is \(expandValue): head_dim \(headDim) × expand_v must be a whole number from 1 to 512")
        }
        guard resolvedValueHeads > 0, resolvedValueHeads % heads == 0 else {
            throw ConfigurationError(
                "num_v_heads is \(resolvedValueHeads); it must be a multiple of num_heads (\(heads))")
        }
        guard !useShortConvolution || (2...8).contains(convolutionSize) else {
            throw ConfigurationError("conv_size is \(convolutionSize); it must be from 2 to 8")
        }
        guard normEps > 0 else { throw ConfigurationError("norm_eps is \(normEps); it must be above 0") }
        guard initializerRange > 0 else {
            throw ConfigurationError("initializer_range is \(initializerRange); it must be above 0")
        }
    }

    private func requirePositive(_ key: String, _ value: Int) throws {
        guard value > 0 else { throw ConfigurationError("\(key) is \(value); it must be at least 1") }
    }
}
