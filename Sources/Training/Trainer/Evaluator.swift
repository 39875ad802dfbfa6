/// Evaluation during training: held-out loss at several context lengths.
import GDNAutograd
import GDNData
import GDNEvaluation
import GDNModels
import GDNOps
import GDNTensor

/// Evaluates a language model on held-out batches.
package struct Evaluator {
    /// Held-out data.
    package let source: any EvaluationSource
    /// Context lengths in tokens.
    package let lengths: [Int]
    /// Most targets scored at each length; nil = all.
    package let limit: Int?
    /// Mean bytes of text in a token; nil where tokens are no text.
    package let bytesPerToken: Double?
    /// Whether the likeliest tokens are compared with the targets (recall tasks).
    package let countsAnswers: Bool
    /// Tokens in one forward pass, about.
    package var tokensPerPass = 8192

    /// An evaluator of its settings.
    package init(
        source: any EvaluationSource, lengths: [Int], limit: Int?, bytesPerToken: Double?, countsAnswers: Bool
    ) {
        self.source = source
        self.lengths = lengths
        self.limit = limit
        self.bytesPerToken = bytesPerToken
        self.countsAnswers = countsAnswers
    }

    /// One record for each length.
    /// - Parameter step: the step the records belong to
    package func run(_ model: LanguageModel, step: Int) throws -> [EvaluationRecord] {
        try lengths.map { try run(model, step: step, length: $0) }
    }

    private func run(_ model: LanguageModel, step: Int, length: Int) throws -> EvaluationRecord {
        let transfer = BackendTransfer(backend: model.backend)
        var (sum, wanted, correct) = (0.0, 0, 0)
        for batch in try source.batches(rows: max(1, tokensPerPass / length), length: length, limit: limit) {
            let input = try ModelInput(batch, on: model.backend)
            var none: LanguageModel.State?
            let scores = try model.logProbabilities(
                tokens: input.tokens, targets: input.targets, sequences: input.sequences, state: &none)
            sum -= try transfer.download(scores).reduce(0.0) { $0 + Double($1) }
            wanted += batch.targetCount
            if countsAnswers {
                correct += try AnswerAccuracy.count(model, tokens: input.tokens, targets: batch.targets).correct
            }
        }
        let loss = sum / Double(max(1, wanted))
        return EvaluationRecord(
            step: step, length: length, tokens: wanted, loss: loss,
            bitsPerByte: bytesPerToken.map { loss / log(2) / $0 },
            accuracy: countsAnswers ? Double(correct) / Double(max(1, wanted)) : nil)
    }
}
