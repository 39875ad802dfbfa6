import GDNData
import GDNModels
import GDNOps
import GDNTensor

/// Loss of a model on held-out data, for several context lengths.
public struct LengthEvaluation: Sendable {
    /// The result at one length.
    public struct Result: Sendable, Codable, Equatable {
        /// Context length T in tokens: windows of T tokens that do not overlap, each from an empty state.
        public var length: Int
        /// Targets scored.
        public var tokens: Int
        /// Mean cross-entropy in nats a token.
        public var loss: Double
        /// e^loss
        public var perplexity: Double
        /// Loss in bits a byte of text; nil where the number of bytes a token is unknown.
        public var bitsPerByte: Double?
    }

    /// Context lengths in tokens.
    public var lengths: [Int]
    /// Tokens of one forward pass at most (a longer window goes alone).
    public var tokensPerPass: Int
    /// Targets scored at each length at most.
    public var tokenLimit: Int

    /// An evaluation at these lengths.
    public init(lengths: [Int], tokensPerPass: Int = 8192, tokenLimit: Int = .max) {
        self.lengths = lengths
        self.tokensPerPass = tokensPerPass
        self.tokenLimit = tokenLimit
    }

    /// Scores held-out data.
    /// - Parameters:
    ///   - model: the model
    ///   - source: the data, cut into windows of each length
    ///   - bytesPerToken: mean bytes of text a token stands for, for bits per byte
    /// - Returns: a result for each length
    /// - Throws: `EvaluationError` for a length below 1 or data without targets.
    public func run(_ model: LanguageModel, source: any EvaluationSource, bytesPerToken: Double?) throws -> [Result] {
        try lengths.map { length in
            guard length >= 1 else { throw EvaluationError("context length \(length): it must be at least 1") }
            return try run(model, source, length: length, bytesPerToken)
        }
    }

    private func run(_ model: LanguageModel, _ source: any EvaluationSource, length: Int, _ bytesPerToken: Double?)
        throws -> Result
    {
        let rows = max(1, tokensPerPass / length)
        var sum = 0.0
        var targets = 0
        for batch in try source.batches(rows: rows, length: length, limit: tokenLimit == .max ? nil : tokenLimit) {
            let inputs = try BatchTensors(batch, on: model.backend)
            var none: LanguageModel.State?
            let scores = try model.logProbabilities(
                tokens: inputs.tokens, targets: inputs.targets, sequences: inputs.sequences, state: &none)
            sum -= try model.backend.download(scores).reduce(0.0) { $0 + Double($1) }
            targets += batch.targetCount
        }
        guard targets > 0 else { throw EvaluationError("the data has no tokens to predict; give a longer text") }
        let loss = sum / Double(targets)
        return Result(
            length: length, tokens: targets, loss: loss, perplexity: exp(loss),
            bitsPerByte: bytesPerToken.map { loss / log(2) / $0 })
    }
}

/// An evaluation that cannot run; says why.
public struct EvaluationError: Error, CustomStringConvertible, Equatable, Sendable {
    /// One sentence.
    public let message: String

    /// An error with its sentence.
    public init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}
