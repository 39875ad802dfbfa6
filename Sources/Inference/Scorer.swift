import GDNModels
import GDNOps
import GDNTensor

/// Log-probabilities of given tokens.
public struct Scorer {
    private let model: LanguageModel
    private let pieceLength: Int

    /// A scorer; sequences longer than `pieceLength` are read in pieces through the recurrent state, so that memory
    /// does not grow with their length.
    public init(model: LanguageModel, pieceLength: Int = 4096) {
        self.model = model
        self.pieceLength = max(1, pieceLength)
    }

    /// Natural log of the probability of each token given those before it; nil for the first.
    /// - Throws: `InferenceError` for an empty sequence or a token outside the vocabulary.
    public func logProbabilities(_ tokens: [Int32]) throws -> [Float?] {
        guard !tokens.isEmpty else { throw InferenceError("there are no tokens to score") }
        let vocabulary = model.configuration.vocabularySize
        if let token = tokens.first(where: { !(0..<Int32(vocabulary)).contains($0) }) {
            throw InferenceError("token \(token) is outside the model's vocabulary of \(vocabulary)")
        }
        var state: LanguageModel.State? = tokens.count > pieceLength ? try model.emptyState() : nil
        var result: [Float?] = [nil]
        for start in stride(from: 0, to: tokens.count - 1, by: pieceLength) {
            let end = min(tokens.count - 1, start + pieceLength)
            let inputs = try model.backend.upload(Array(tokens[start..<end]), [1, end - start])
            let targets = try model.backend.upload(Array(tokens[start + 1...end]), [1, end - start])
            let scores = try model.logProbabilities(tokens: inputs, targets: targets, state: &state)
            result += try model.backend.download(scores).map { $0 }
        }
        return result
    }
}
