/// Evaluation during training: held-out loss at several context lengths, and answers of recall tasks.
import GDNData
import GDNEvaluation
import GDNModels

/// Evaluates a language model on held-out batches.
struct Evaluator {
    /// Held-out data.
    let source: any EvaluationSource
    /// Context lengths in tokens.
    let lengths: [Int]
    /// Most targets scored at each length; nil = all.
    let limit: Int?
    /// Mean bytes of text in a token; nil where tokens are no text.
    let bytesPerToken: Double?
    /// Whether the likeliest tokens are compared with the targets (recall tasks).
    let countsAnswers: Bool

    /// One record for each length.
    /// - Parameter step: the step the records belong to
    func run(_ model: LanguageModel, step: Int) throws -> [EvaluationRecord] {
        let evaluation = LengthEvaluation(lengths: lengths, tokenLimit: limit ?? .max)
        return try evaluation.run(model, source: source, bytesPerToken: bytesPerToken).map { result in
            EvaluationRecord(
                step: step, length: result.length, tokens: result.tokens, loss: result.loss,
                bitsPerByte: result.bitsPerByte,
                accuracy: countsAnswers ? try accuracy(model, length: result.length) : nil)
        }
    }

    private func accuracy(_ model: LanguageModel, length: Int) throws -> Double {
        var (correct, wanted) = (0, 0)
        let rows = max(1, LengthEvaluation(lengths: [length]).tokensPerPass / length)
        for batch in try source.batches(rows: rows, length: length, limit: limit) {
            let count = try AnswerAccuracy.count(model, batch)
            correct += count.correct
            wanted += count.wanted
        }
        return Double(correct) / Double(max(1, wanted))
    }
}
