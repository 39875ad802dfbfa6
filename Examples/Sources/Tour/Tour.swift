import GatedDeltaNet

/// A tour of the library: build a model, train it for a few steps, score a text, generate, one token at a time.
@main
struct Tour {
    static func main() async throws {
        // A model from a configuration. The keys are those of flash-linear-attention's config.json.
        var configuration = ModelConfiguration()
        configuration.layers = 2
        configuration.hiddenSize = 64
        configuration.heads = 2
        configuration.headDim = 32
        configuration.intermediateSize = 128
        configuration.vocabularySize = 257
        configuration.tieWordEmbeddings = true
        let model = try LanguageModel(configuration, backend: .cpu(CPUBackend()), seed: 1)
        print("parameters: \(model.parameterCount)")

        // Training steps on one sentence.
        let tokenizer = try ByteTokenizer()
        let text = tokenizer.encode("The quick brown fox jumps over the lazy dog. ")
        let trainer = try StepTrainer(model)
        let first = try trainer.step(on: [text], learningRate: 3e-3).loss
        var last = first
        for _ in 0..<60 { last = try trainer.step(on: [text], learningRate: 3e-3).loss }
        print("loss before: \(first), after 60 steps: \(last)")

        // The log-probability of each token given those before it.
        let scores = try Scorer(model: model).logProbabilities(text)
        print("scored \(scores.count) tokens")

        // Tokens as they are drawn.
        let generation = try Generation(
            model: model, prompt: tokenizer.encode("The quick"), options: .greedy, limit: 30)
        var decoder = StreamingDecoder(tokenizer)
        var continuation = ""
        for try await token in generation { continuation += decoder.append(token) }
        print("The quick\(continuation)")
    }
}
