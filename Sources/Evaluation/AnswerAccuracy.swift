import GDNData
import GDNModels
import GDNOps
import GDNTensor

/// Share of wanted tokens that a model ranks first: the measure of recall tasks.
public enum AnswerAccuracy {
    /// Counts the targets of one batch that have the largest logit.
    /// - Returns: how many are right, and how many were wanted
    public static func count(_ model: LanguageModel, _ batch: Batch) throws -> (correct: Int, wanted: Int) {
        let inputs = try BatchTensors(batch, on: model.backend)
        var none: LanguageModel.State?
        let logits = try model.backend.download(
            model.logits(tokens: inputs.tokens, sequences: inputs.sequences, state: &none))
        let vocabulary = model.configuration.vocabularySize
        var correct = 0
        var wanted = 0
        for (row, target) in batch.targets.enumerated() where target >= 0 {
            wanted += 1
            let scores = logits[row * vocabulary..<(row + 1) * vocabulary]
            let best = scores.indices.max { scores[$0] < scores[$1] }
            if best == row * vocabulary + Int(target) { correct += 1 }
        }
        return (correct, wanted)
    }
}
