import GDNData
import GDNModels
import GDNOps

/// Trains a model step by step from code: AdamW and clipping, without recipes, files or a loop.
public final class StepTrainer {
    /// What a step came to.
    public struct Report: Sendable, Equatable {
        /// Mean loss in nats a token, before the update.
        public let loss: Double
        /// Global gradient norm before clipping.
        public let gradientNorm: Double
        /// False when loss or gradient were not finite: then nothing was changed.
        public let updated: Bool
    }

    private let step: TrainingStep

    /// A trainer whose moments are zero.
    /// - Parameters:
    ///   - model: trained in place
    ///   - configuration: betas, eps and weight decay
    ///   - clip: largest global gradient norm; nil for no clipping
    public init(_ model: LanguageModel, configuration: AdamWConfiguration = AdamWConfiguration(), clip: Double? = 1)
        throws
    {
        let optimizer = try Optimizer(model.parameters, on: model.backend, configuration: configuration, clip: clip)
        step = TrainingStep(model: model, optimizer: optimizer)
    }

    /// One update on a batch.
    public func step(on batch: Batch, learningRate: Double) throws -> Report {
        let result = try step.run([batch], learningRate: learningRate)
        return Report(loss: result.loss, gradientNorm: result.gradientNorm, updated: result.updated)
    }

    /// One update on sequences of tokens, each read from an empty state.
    /// - Parameters:
    ///   - sequences: sequences of at least two tokens
    ///   - learningRate: of this update
    /// - Throws: `TrainingError` when there is no sequence or one is shorter than two tokens.
    public func step(on sequences: [[Int32]], learningRate: Double) throws -> Report {
        guard !sequences.isEmpty, sequences.allSatisfy({ $0.count >= 2 }) else {
            throw TrainingError("a training step needs sequences of at least two tokens")
        }
        let tokens = sequences.flatMap { $0.dropLast() }
        let bounds = sequences.reduce(into: [Int32(0)]) { $0.append(($0.last ?? 0) + Int32($1.count - 1)) }
        let batch = Batch(
            rows: 1, length: tokens.count, tokens: tokens, targets: sequences.flatMap { $0.dropFirst() },
            sequences: bounds)
        return try step(on: batch, learningRate: learningRate)
    }
}
