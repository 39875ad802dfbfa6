import GDNAutograd
import GDNCPUBackend
import GDNModels
import GDNOps
import GDNTensor

/// Speed of generating one token after another, batch 1, after a prompt.
package struct DecodingBenchmark {
    /// What was measured.
    package struct Result: Sendable, Codable {
        package var library: String
        package var threads: Int
        package var tokensPerSecond: Double
        package var token: Timing
        /// Bytes of weights read for one token.
        package var weightBytes: Int
    }

    /// Measures the model after a prompt of 64 tokens.
    package static func run(_ model: BenchmarkModel, cpu: CPUBackend, tokens count: Int) throws -> Result {
        let backend = Backend.cpu(cpu)
        let language = try LanguageModel(model.configuration, backend: backend, seed: 1)
        var state: LanguageModel.State? = try language.emptyState()
        var random = Random(seed: 2)
        func token() -> Int32 { Int32(random.index(below: model.configuration.vocabularySize)) }
        let prompt = try backend.upload((0..<64).map { _ in token() }, [1, 64])
        _ = try language.nextTokenLogits(tokens: prompt, state: &state)
        let timing = try Timing.measure(warmup: 16, runs: count) {
            let next = try backend.upload([token()], [1, 1])
            _ = try language.nextTokenLogits(tokens: next, state: &state)
        }
        let table = model.configuration.tieWordEmbeddings ? 0 : model.configuration.vocabularySize
        let read = language.parameterCount - table * model.configuration.hiddenSize
        return Result(
            library: cpu.matrixProductDescription, threads: cpu.threadCount, tokensPerSecond: 1 / timing.median,
            token: timing, weightBytes: 4 * read)
    }
}
