import GDNModels
import GDNOps
import GDNTensor

/// Tokens drawn one after another from a model; memory is constant in their number.
///
///     for try await token in Generation(model: model, prompt: tokens, options: .greedy, limit: 100) { … }
///
/// Each iteration starts anew from the prompt. The model must not be used elsewhere meanwhile.
public struct Generation: AsyncSequence {
    /// One token.
    public typealias Element = Int32

    private let model: LanguageModel
    private let prompt: [Int32]
    private let options: SamplingOptions
    private let limit: Int
    private let stopTokens: Set<Int32>
    private let form: DecodingForm

    /// A generation.
    /// - Parameters:
    ///   - model: the model
    ///   - prompt: at least one token, each below the vocabulary size
    ///   - options: how tokens are drawn
    ///   - limit: at most this many tokens
    ///   - stopTokens: end before one of these
    ///   - form: which kernels a GPU takes for a token
    /// - Throws: `InferenceError` for an empty prompt, a token outside the vocabulary or an option out of range.
    public init(
        model: LanguageModel, prompt: [Int32], options: SamplingOptions = SamplingOptions(), limit: Int,
        stopTokens: Set<Int32> = [], form: DecodingForm = .fused
    ) throws {
        guard !prompt.isEmpty else {
            throw InferenceError("the prompt has no tokens; give at least one character")
        }
        let vocabulary = model.configuration.vocabularySize
        if let token = prompt.first(where: { !(0..<Int32(vocabulary)).contains($0) }) {
            throw InferenceError("prompt token \(token) is outside the model's vocabulary of \(vocabulary)")
        }
        try options.validate()
        self.model = model
        self.prompt = prompt
        self.options = options
        self.limit = limit
        self.stopTokens = stopTokens
        self.form = form
    }

    /// Starts from the prompt.
    public func makeAsyncIterator() -> Iterator {
        Iterator(self)
    }

    /// Draws the tokens.
    public struct Iterator: AsyncIteratorProtocol {
        private let generation: Generation
        private var sampler: Sampler?
        private var state: LanguageModel.State?
        private var pending: [Int32]
        private var seen: Set<Int32>
        private var produced = 0
        private var step: DecodingStep?

        init(_ generation: Generation) {
            self.generation = generation
            pending = generation.prompt
            seen = Set(generation.prompt)
        }

        /// The next token, or nil at the limit or before a stop token.
        public mutating func next() async throws -> Int32? {
            try Task.checkCancellation()
            return try nextToken()
        }

        /// `next()` for callers that are not asynchronous.
        public mutating func nextToken() throws -> Int32? {
            guard produced < generation.limit else { return nil }
            let model = generation.model
            if state == nil {
                state = try model.emptyState()
                sampler = try Sampler(generation.options)
            }
            let logits: [Float]
            if let step {
                logits = try model.backend.download(step.logits(after: pending))
            } else {
                logits = try Self.advance(model, pending, &state)
                if case .cuda(let cuda) = model.backend, let state {
                    step = try DecodingStep(model, on: cuda, state: state, form: generation.form)
                }
            }
            guard let token = try sampler?.sample(logits, seen: seen), !generation.stopTokens.contains(token) else {
                produced = generation.limit
                return nil
            }
            produced += 1
            pending = [token]
            seen.insert(token)
            return token
        }

        /// Reads tokens into the state, long prompts in pieces so that memory stays bounded.
        private static func advance(_ model: LanguageModel, _ tokens: [Int32], _ state: inout LanguageModel.State?)
            throws -> [Float]
        {
            var logits: [Float] = []
            for start in stride(from: 0, to: tokens.count, by: prefillLength) {
                let piece = tokens[start..<Swift.min(tokens.count, start + prefillLength)]
                let tensor = try model.backend.upload(Array(piece), [1, piece.count])
                logits = try model.backend.download(model.nextTokenLogits(tokens: tensor, state: &state))
            }
            return logits
        }

        private static let prefillLength = 2048
    }
}
