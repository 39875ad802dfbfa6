/// One optimiser step: forward and backward of each micro-batch, then the update.
import GDNAutograd
import GDNData
import GDNEvaluation
import GDNOps
import GDNTensor

/// Runs optimiser steps on a model.
///
/// 1. each micro-batch adds the gradient of `w_i · loss_i` to the parameters' buffers (float32);
///    `w_i` is its number of wanted targets as a share of its tokens
/// 2. loss and gradient are divided by `Σ w_i`: every wanted target counts the same, whichever micro-batch it is in
/// 3. clip, AdamW, clear
package struct TrainingStep {
    /// What a step came to.
    package struct Result: Equatable {
        /// Mean loss in nats over the wanted targets; not finite when something overflowed.
        package var loss: Double
        /// Global gradient norm before clipping; not finite when something overflowed.
        package var gradientNorm: Double
        /// Whether the parameters were updated.
        package var updated: Bool
        /// Input tokens read.
        package var tokens: Int
        /// Seconds that the step waited for its batches.
        package var waiting = 0.0
    }

    private let model: any TrainableModel
    private let optimizer: Optimizer
    private let recompute: Bool

    /// Steps of a model with an optimiser.
    package init(model: any TrainableModel, optimizer: Optimizer, recompute: Bool = false) {
        self.model = model
        self.optimizer = optimizer
        self.recompute = recompute
    }

    /// One step on the micro-batches of an accumulation window.
    package func run(_ batches: [Batch], learningRate: Double) throws -> Result {
        var loss = 0.0
        var weight = 0.0
        var tokens = 0
        for batch in batches {
            tokens += batch.tokenCount
            let share = Double(batch.targetCount) / Double(max(1, batch.tokenCount))
            if share == 0 { continue }
            loss += share * (try accumulate(batch, share: share))
            weight += share
        }
        loss /= weight
        guard loss.isFinite else {
            optimizer.clearGradients()
            return Result(loss: loss, gradientNorm: .nan, updated: false, tokens: tokens)
        }
        let norm = try optimizer.step(learningRate: learningRate, gradientScale: 1 / weight)
        return Result(loss: loss, gradientNorm: norm, updated: norm.isFinite, tokens: tokens)
    }

    /// Adds a micro-batch's gradients; returns its loss.
    private func accumulate(_ batch: Batch, share: Double) throws -> Double {
        let input = try BatchTensors(batch, on: model.backend)
        let tape = Tape(model.backend)
        let loss = try model.loss(
            tape, tokens: input.tokens, targets: input.targets, sequences: input.sequences, recompute: recompute)
        try tape.backward([loss], gradients: [model.backend.upload([Float(share)], [1])])
        return Double(try model.backend.download(loss.value)[0])
    }
}
