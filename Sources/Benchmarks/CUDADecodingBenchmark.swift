import GDNAutograd
import GDNCUDABackend
import GDNInference
import GDNModels
import GDNOps
import GDNTensor

/// Speed of decoding on a GPU: one graph a token for a batch of sequences, after a prompt of random tokens.
package struct CUDADecodingBenchmark {
    /// What was measured at one batch size.
    package struct Result: Sendable, Codable {
        package var batch: Int
        /// Which kernels ran.
        package var form: String
        package var context: Int
        /// Milliseconds of a token from its upload to its logits, by events: median.
        package var milliseconds: Double
        /// The same for tokens whose graphs are launched one directly after the other.
        package var graphMilliseconds: Double
        package var tokensPerSecond: Double
        /// Bytes of weights read (bfloat16, without the embedding table) and of states read and written for a token.
        package var bytes: Int
        /// Time of those bytes at the rate of a device copy, over the time measured.
        package var shareOfFloor: Double
        package var copyBytesPerSecond: Double
    }

    /// Measures `tokens` tokens at each batch size, after a run of 8.
    package static func run(
        _ configuration: ModelConfiguration, cuda: CUDABackend, batches: [Int], context: Int, tokens count: Int,
        form: DecodingForm
    ) throws -> [Result] {
        let model = try LanguageModel(configuration, backend: .cuda(cuda), seed: 1)
        let rate = try copyRate(cuda)
        return try batches.map { batch in
            var random = Random(seed: 2)
            func draw(_ count: Int) -> [Int32] {
                (0..<count).map { _ in Int32(random.index(below: configuration.vocabularySize)) }
            }
            var state: LanguageModel.State? = try model.emptyState(batch: batch)
            let prompt = try cuda.upload(Tensor(host: draw(batch * context), [batch, context]))
            _ = try model.nextTokenLogits(tokens: prompt, state: &state)
            guard let state else { throw BackendError("decoding: the model lost its state") }
            let step = try DecodingStep(model, on: cuda, state: state, form: form)
            var times: [Double] = []
            for index in 0..<count + 8 {
                let next = draw(batch)
                let time = try cuda.milliseconds { _ = try step.logits(after: next) }
                if index >= 8 { times.append(time) }
            }
            times.sort()
            let several = 16
            let graphs = try (0..<max(1, count / several)).map { _ in
                try cuda.milliseconds { for _ in 0..<several { try step.launch() } } / Double(several)
            }.sorted()
            let table = configuration.tieWordEmbeddings ? 0 : configuration.vocabularySize * configuration.hiddenSize
            let bytes = 2 * (model.parameterCount - table) + 2 * state.byteCount
            let median = times[times.count / 2]
            return Result(
                batch: batch, form: step.isFused ? "fused" : "operations", context: context, milliseconds: median,
                graphMilliseconds: graphs[graphs.count / 2],
                tokensPerSecond: 1e3 * Double(batch) / median, bytes: bytes,
                shareOfFloor: 1e3 * Double(bytes) / rate / median, copyBytesPerSecond: rate)
        }
    }

    private static func copyRate(_ cuda: CUDABackend) throws -> Double {
        let (a, b) = (try cuda.zeros([1 << 28]), try cuda.zeros([1 << 28]))
        let times = try (0..<5).map { _ in try cuda.milliseconds { try cuda.copy(a, into: b) } }.sorted()
        return 2 * Double(a.byteCount) / times[2] * 1e3
    }
}
