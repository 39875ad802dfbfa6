import GDNAutograd
import GDNCPUBackend
import GDNModels
import GDNOps
import GDNTensor

/// Speed of whole training steps and of forward passes with logits, on the CPU.
package struct TrainingBenchmark {
    /// What was measured.
    package struct Result: Sendable, Codable {
        package var library: String
        package var threads: Int
        package var parameters: Int
        package var trainingTokensPerSecond: Double
        package var forwardTokensPerSecond: Double
        package var step: Timing
        package var forward: Timing
        package var peakBytes: Int
    }

    /// Measures the model with one library of matrix products.
    package static func run(_ model: BenchmarkModel, cpu: CPUBackend, steps: Int) throws -> Result {
        let backend = Backend.cpu(cpu)
        let language = try LanguageModel(model.configuration, backend: backend, seed: 1)
        let (tokens, targets) = try model.randomBatch(backend)
        let moments = try language.parameters.map { parameter in
            (try backend.zeros(parameter.shape), try backend.zeros(parameter.shape))
        }
        var number = 0
        cpu.memory.resetPeak()
        let step = try Timing.measure(warmup: 2, runs: steps) {
            number += 1
            let tape = Tape(backend)
            let loss = try language.loss(tape, tokens: tokens, targets: targets)
            try tape.backward([loss], gradients: [cpu.tensor([Float(1)], [1])])
            let norm = try globalNorm(language.parameters.compactMap(\.gatheredGradient), on: backend)
            let slots = zip(language.parameters, moments).compactMap { parameter, moments in
                AdamWSlot(parameter, firstMoment: moments.0, secondMoment: moments.1)
            }
            try adamWStep(
                slots: slots, on: backend, learningRate: 1e-3, step: number,
                gradientScale: clipCoefficient(norm: norm, maximum: 1))
            for parameter in language.parameters { parameter.clearGradient() }
        }
        let forward = try Timing.measure(warmup: 1, runs: steps) {
            var none: LanguageModel.State?
            _ = try language.logits(tokens: tokens, state: &none)
        }
        let count = Double(model.tokensPerStep)
        return Result(
            library: cpu.matrixProductDescription, threads: cpu.threadCount, parameters: language.parameterCount,
            trainingTokensPerSecond: count / step.median, forwardTokensPerSecond: count / forward.median, step: step,
            forward: forward, peakBytes: cpu.memory.peakBytes)
    }
}
