import GDNAutograd
import GDNCPUBackend
import GDNModels
import GDNOps
import GDNTensor

/// The model and the batch that `gdn bench train` and `gdn bench decode` measure: hidden 256, 6 layers, 4 heads of
/// 64/128, MLP 768, vocabulary 4096; 8 sequences of 512 tokens, float32.
package struct BenchmarkModel {
    package let configuration: ModelConfiguration
    package let batch: Int
    package let length: Int

    /// The standard shape, or another preset.
    package init(preset: String = "cpu-8m", batch: Int = 8, length: Int = 512) throws {
        guard let configuration = ModelConfiguration.preset(preset) else {
            throw ConfigurationError(
                "no preset \(preset); there are \(ModelConfiguration.presetNames.joined(separator: ", "))")
        }
        self.configuration = configuration
        self.batch = batch
        self.length = length
    }

    /// Tokens of one step.
    package var tokensPerStep: Int { batch * length }

    /// Random tokens [batch, length] and the targets that follow them.
    func randomBatch(_ backend: Backend) throws -> (tokens: Tensor, targets: Tensor) {
        var random = Random(seed: 1)
        func draw() -> [Int32] {
            (0..<batch * length).map { _ in Int32(random.index(below: configuration.vocabularySize)) }
        }
        let shape: Shape = [batch, length]
        return (try backend.upload(draw(), shape), try backend.upload(draw(), shape))
    }
}

/// Seconds of repeated runs.
package struct Timing: Sendable, Codable {
    package let minimum: Double
    package let median: Double
    package let maximum: Double
    package let runs: Int

    /// Runs `body` `warmup` times, then `runs` times under the clock.
    package static func measure(warmup: Int = 1, runs: Int, _ body: () throws -> Void) rethrows -> Timing {
        for _ in 0..<warmup { try body() }
        var seconds: [Double] = []
        for _ in 0..<max(1, runs) {
            let start = ContinuousClock.now
            try body()
            seconds.append((ContinuousClock.now - start) / .seconds(1))
        }
        return Timing(sorted: seconds.sorted())
    }

    /// Statistics of at least one time, shortest first.
    init(sorted seconds: [Double]) {
        minimum = seconds[0]
        median = seconds[seconds.count / 2]
        maximum = seconds[seconds.count - 1]
        runs = seconds.count
    }
}
