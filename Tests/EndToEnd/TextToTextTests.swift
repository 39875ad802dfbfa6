import GDNTestSupport
import GDNTraining
import GatedDeltaNet
import Testing

/// The main job through the public library: a text file becomes a model, the model is measured and writes text.
@Suite struct TextToTextTests {
    @Test func aTextBecomesAModelThatContinuesIt() async throws {
        let folder = TemporaryFolder()
        let line = "the quick brown fox jumps over the lazy dog and runs away.\n"
        let text = try folder.write("text.txt", String(repeating: line, count: 400))
        let recipe = """
            run: {name: fox, folder: "\(folder.root)"}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 64, vocab_size: 256}
            data: {train: ["\(text)"], length: 64, batch: 8}
            optimizer: {lr: 0.01}
            training: {steps: 80}
            """
        let run = try TrainingRun(recipe: Recipe.parse(recipe))
        // A stop request of its own: signals belong to the process, and another test sends some.
        #expect(try run.run(stop: StopRequest()) == .finished)

        let checkpoint = folder.path("fox/latest")
        let backend = Backend.cpu(CPUBackend(threads: 1))
        let model = try ModelFolder.load(checkpoint, backend: backend)
        let tokenizer = try TokenizerFile.load(from: checkpoint)

        // Bits per byte far below those of an untrained model, on the held-out tail.
        let scores = try Scorer(model: model).logProbabilities(tokenizer.encode(line + line))
        let loss = -scores.dropFirst(60).compactMap { $0 }.reduce(0, +) / Float(scores.count - 60)
        #expect(loss < 0.5)

        var continuation = ""
        try TextGenerator(model: model, tokenizer: tokenizer).generate(
            line + "the quick", options: .greedy, limit: 80, stops: ["."]
        ) { piece in
            continuation += piece
            return true
        }
        #expect(continuation == " brown fox jumps over the lazy dog and runs away")

        // The same tokens one by one, as the asynchronous sequence gives them.
        var tokens: [Int32] = []
        for try await token in try Generation(
            model: model, prompt: tokenizer.encode(line + "the quick"), options: .greedy, limit: 12)
        {
            tokens.append(token)
        }
        #expect(tokenizer.decode(tokens) == " brown fox j")
    }
}
