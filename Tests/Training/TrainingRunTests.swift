import GDNTestSupport
import Foundation
import GDNAutograd
import GDNCPUBackend
import GDNFormats
import GDNModels
import GDNTraining
import Testing

/// Runs of the real model, small enough for a test.
@Suite struct TrainingRunTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = TemporaryFolder()
        let words = ["the gate", "forgets", "what", "the rule", "writes", "\n"]
        let text = (0..<3000).map { words[($0 * $0 + $0 / 7) % words.count] }.joined(separator: " ")
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path("text.txt")))
    }

    private func recipe(_ overrides: [(String, String)] = []) throws -> Recipe {
        let text = """
            run: {name: small, folder: "\(folder.path("runs"))", threads: 2, seed: 3}
            model: {preset: tiny, num_hidden_layers: 1, hidden_size: 32, num_heads: 2, head_dim: 16, intermediate_size: 64}
            data: {train: "\(folder.path("text.txt"))", length: 32, batch: 4}
            optimizer: {lr: 3e-3}
            schedule: {warmup_tokens: 256}
            training: {steps: 12, accumulation: 2, eval_every: 4, eval_lengths: [32, 64], eval_tokens: 256, log_every: 1,
              sample_every: 6, prompts: ["the "], sample_tokens: 8}
            checkpoint: {every: 5, keep_last: 2}
            """
        return try Recipe.parse(text, overrides: overrides.map { RecipeOverride($0.0, $0.1) })
    }

    private func run(
        _ recipe: Recipe, _ options: TrainingOptions = TrainingOptions(), stopAfter: Int? = nil
    ) throws -> (outcome: TrainingOutcome, text: String) {
        let stop = StopRequest()
        var text = ""
        let console = Console(isTerminal: false) { piece in
            text += piece
            if let stopAfter, piece.hasPrefix("step \(stopAfter)/") { stop.request() }
        }
        let run = try TrainingRun(recipe: recipe, options: options, console: console)
        return (try run.run(stop: stop), text)
    }

    private var runFolder: String { folder.path("runs/small") }

    /// Metrics without what depends on the clock.
    private func metrics() throws -> [MetricsRecord] {
        try MetricsLog.read(runFolder + "/metrics.jsonl").records.map { record in
            guard case .step(var step) = record else { return record }
            (step.seconds, step.tokensPerSecond, step.memory) = (0, 0, 0)
            (step.peakShare, step.waitingShare) = (nil, nil)
            return .step(step)
        }
    }

    private func files(step: Int) -> [Data?] {
        ["model.safetensors", "optimizer-rank0.safetensors", "config.json", "gdn_tokenizer.json"].map {
            content("\(runFolder)/\(CheckpointStore.name(step: step))/\($0)")
        }
    }

    @Test func aRunLeavesAFolderThatTellsEverything() throws {
        let (outcome, text) = try run(recipe())
        #expect(outcome == .finished)
        #expect(text.contains("step 12/12"))
        #expect(text.contains("evaluation at step 12, length 64: loss"))
        #expect(text.contains("bits/byte"))
        #expect(text.contains("sample at step 6: the "))
        let store = CheckpointStore(folder: runFolder)
        let steps = try store.steps()
        #expect(steps.suffix(1) == [12] && steps.count >= 2 && steps.count <= 3)
        try CheckpointStore.verify(runFolder + "/latest")
        let model = try ModelFolder.load(runFolder + "/latest", backend: .cpu(CPUBackend(threads: 1)))
        #expect(model.configuration.hiddenSize == 32)
        let resolved = try Recipe.load(runFolder + "/recipe.yaml")
        #expect(try resolved.modelConfiguration() == model.configuration)
        #expect(resolved.training == (try recipe().training))
        let json = try JSONValue(contentsOf: runFolder + "/run.json")
        #expect(json["seed"]?.integer == 3)
        #expect(json["version"]?.string == gatedDeltaNetVersion)
        #expect(json["data"]?["sources"]?.array?.first?["checksum"]?.string?.hasPrefix("crc32c:") == true)
        let records = try metrics()
        let losses = records.compactMap { if case .step(let step) = $0 { step.loss } else { nil } }
        #expect(losses.count == 12)
        #expect(losses[11] < losses[0] - 0.3)
        #expect(try RunReport(run: runFolder).html.contains("<svg"))
        let names = try FileManager.default.contentsOfDirectory(atPath: runFolder)
        #expect(names.contains { $0.hasPrefix("events.out.tfevents.") })
    }

    /// N steps straight, and k steps, other objects, N − k steps: the same bytes in every file, the same records.
    @Test(arguments: [3, 8])
    func resumingIsBitExact(k: Int) throws {
        _ = try run(recipe())
        let (expected, records) = (files(step: 12), try metrics())
        #expect(expected.allSatisfy { $0 != nil })
        let overwrite = TrainingOptions(overwrite: true)
        let (outcome, text) = try run(recipe(), overwrite, stopAfter: k)
        #expect(outcome == .interrupted)
        #expect(text.contains("interrupted after \(k) steps"))
        #expect(try CheckpointStore(folder: runFolder).steps().last == k)
        #expect(try run(recipe(), TrainingOptions(resume: .auto)).outcome == .finished)
        #expect(files(step: 12) == expected)
        #expect(try metrics() == records)
    }

    /// The same seed gives the same run, another seed another one.
    @Test func theSeedDecidesTheRun() throws {
        _ = try run(recipe())
        let first = files(step: 12)
        _ = try run(recipe(), TrainingOptions(overwrite: true))
        #expect(files(step: 12) == first)
        _ = try run(recipe([("run.seed", "4")]), TrainingOptions(overwrite: true))
        #expect(files(step: 12) != first)
    }

    /// The number of threads must not change a single bit.
    @Test func theNumberOfThreadsDoesNotMatter() throws {
        _ = try run(recipe())
        let first = files(step: 12)
        _ = try run(recipe([("run.threads", "1")]), TrainingOptions(overwrite: true))
        #expect(files(step: 12) == first)
    }

    @Test func aTruncatedCheckpointIsPassedOver() throws {
        _ = try run(recipe())
        let (expected, latest) = (files(step: 12), runFolder + "/step-00000012/model.safetensors")
        try #require(content(latest)).prefix(1000).write(to: URL(fileURLWithPath: latest))
        let (outcome, text) = try run(recipe(), TrainingOptions(resume: .auto))
        #expect(outcome == .finished)
        #expect(text.contains("step-00000012/model.safetensors: has 1000 bytes"))
        #expect(text.contains("resuming from"))
        #expect(files(step: 12) == expected)
    }

    @Test func resumingWithAnotherModelOrOtherDataIsRefused() throws {
        _ = try run(recipe(), stopAfter: 2)
        let auto = TrainingOptions(resume: .auto)
        #expect { try run(recipe([("model.norm_eps", "1e-5")]), auto) } throws: { error in
            error is RecipeError && "\(error)".contains("norm_eps was 1e-06, is 1e-05")
        }
        #expect(throws: (any Error).self) { try run(recipe([("data.length", "16")]), auto) }
        #expect(throws: (any Error).self) { try run(recipe([("run.seed", "9")]), auto) }
        // What may change is noted beside the recipe.
        _ = try run(recipe([("training.steps", "13")]), auto)
        #expect(FileManager.default.fileExists(atPath: runFolder + "/recipe-from-step-00000002.yaml"))
    }

    @Test func aRunInPlaceIsNeverOverwrittenUnasked() throws {
        _ = try run(recipe(), stopAfter: 2)
        let before = files(step: 2)
        #expect { try run(recipe()) } throws: { "\($0)".contains("already holds a run") }
        #expect(files(step: 2) == before)
    }

    @Test func weightsOfAnotherRunAreAStart() throws {
        _ = try run(recipe())
        let weights = try SafetensorsFile(runFolder + "/latest/model.safetensors").floats(of: "model.embeddings.weight")
        let options = TrainingOptions(initFrom: runFolder + "/latest")
        let tuned = try recipe([("run.name", "tuned"), ("training.steps", "1"), ("optimizer.lr", "1e-12")])
        #expect(try run(tuned, options).text.contains("weights from"))
        let after = try SafetensorsFile(folder.path("runs/tuned/latest/model.safetensors"))
        let moved = zip(weights, try after.floats(of: "model.embeddings.weight")).map { abs($0 - $1) }.max() ?? 1
        #expect(moved < 1e-9)
        #expect(try TrainingCheckpoint.state(folder.path("runs/tuned/latest")).step == 1)
    }

    /// Damaged weights once gave a model that ran.
    @Test func damagedWeightsAreNamedAndRefused() throws {
        _ = try run(recipe([("training.steps", "1")]))
        let (latest, cpu) = (runFolder + "/latest", Backend.cpu(CPUBackend(threads: 1)))
        let path = latest + "/model.safetensors"
        let good = try #require(content(path))
        func load(_ bytes: Data) throws {
            try bytes.write(to: URL(fileURLWithPath: path))
            _ = try ModelFolder.load(latest, backend: cpu)
        }
        try load(good)
        var flipped = good
        flipped[good.count - 100] ^= 4
        #expect { try load(flipped) } throws: { "\($0)".contains("latest/model.safetensors: has checksum") }
        let options = TrainingOptions(initFrom: latest)
        #expect { try run(recipe([("run.name", "tuned")]), options) } throws: { error in
            error is CheckpointError && "\(error)".contains("latest/model.safetensors: has checksum")
        }
        #expect { try load(good.dropLast(64)) } throws: { error in
            "\(error)".contains("latest/model.safetensors: has \(good.count - 64) bytes")
        }
        // Other files of the checkpoint are of no concern to a model, but its configuration is.
        try load(good)
        try Data().write(to: URL(fileURLWithPath: latest + "/optimizer-rank0.safetensors"))
        try load(good)
        let configuration = try #require(content(latest + "/config.json"))
        try (configuration + Data(" ".utf8)).write(to: URL(fileURLWithPath: latest + "/config.json"))
        #expect { try load(good) } throws: { "\($0)".contains("latest/config.json: has") }
        try configuration.write(to: URL(fileURLWithPath: latest + "/config.json"))

        let manifest = latest + "/manifest.json"
        let text = try #require(content(manifest))
        try text.dropLast(40).write(to: URL(fileURLWithPath: manifest))
        #expect { try load(good) } throws: { "\($0)".contains("latest/manifest.json: is damaged") }
        // Folders from elsewhere have no manifest, or one that says nothing of this.
        try Data("{\"name\": \"x\"}".utf8).write(to: URL(fileURLWithPath: manifest))
        try load(flipped)
        try FileManager.default.removeItem(atPath: manifest)
        try load(flipped)
    }

    /// Progress that cannot be written is told of at the end; the run is whole.
    @Test func aFullDiskBehindStandardOutputCostsNoStep() throws {
        var lines = 0
        let console = Console(isTerminal: false) { _ in
            lines += 1
            if lines > 4 { throw FormatError.system("write", file: "standard output", ENOSPC) }
        }
        let run = try TrainingRun(recipe: recipe(), options: TrainingOptions(), console: console)
        #expect { try run.run(stop: StopRequest()) } throws: { "\($0)".contains("standard output: write failed") }
        #expect(lines == 5)
        #expect(try CheckpointStore(folder: runFolder).latestSound()?.step == 12)
    }

    @Test func recallIsTrainedAndItsAnswersAreCounted() throws {
        let overrides = [
            ("data.task", "recall"), ("data.recall_pairs", "2"), ("training.sample_every", "0"),
            ("training.steps", "4"), ("training.eval_lengths", "32"),
        ]
        let (outcome, text) = try run(recipe(overrides))
        #expect(outcome == .finished)
        #expect(text.contains("accuracy"))
        #expect(!text.contains("bits/byte"))
    }

    @Test func aWarmUpLongerThanTheRunIsSaid() throws {
        let recipe = try recipe([("schedule.warmup_tokens", "1_000_000"), ("training.steps", "1")])
        #expect(try run(recipe).text.contains("the warm-up of 1000000 tokens is longer than the run"))
    }

    @Test func aDryRunTellsAndWritesNothing() throws {
        let run = try TrainingRun(recipe: recipe())
        let text = try run.dryRun()
        let model = try LanguageModel(run.configuration, backend: .cpu(CPUBackend(threads: 1)))
        #expect(text.contains("(\(model.parameterCount))"))
        #expect(text.contains("12 steps of 256 tokens"))
        #expect(text.contains("weights, gradients, moments"))
        #expect(!FileManager.default.fileExists(atPath: folder.path("runs")))
    }

    @Test(arguments: ModelConfiguration.presetNames.filter { !$0.contains("1.3b") && !$0.contains("340m") } + ["bare"])
    func sizesAreThoseOfTheModel(preset: String) throws {
        var configuration =
            ModelConfiguration.preset(preset) ?? ModelConfiguration.preset("tiny") ?? ModelConfiguration()
        if preset == "bare" {
            configuration.useGate = false
            configuration.useDecay = false
            configuration.useBeta = false
            configuration.useShortConvolution = false
            configuration.useOutputNorm = false
            configuration.tieWordEmbeddings = false
            configuration.valueHeads = 4
        }
        guard preset != "gdn-0.4b" else {
            // The number of the paper's repository; too large to build in a test.
            #expect(abs(Double(ModelSize(configuration).parameters) - 0.517e9) < 0.0006e9)
            return
        }
        let model = try LanguageModel(configuration, backend: .cpu(CPUBackend(threads: 1)))
        let size = ModelSize(configuration)
        #expect(size.parameters == model.parameterCount)
    }

    @Test(arguments: [
        ([("model.preset", "tinny")], "there is no preset tinny; did you mean tiny?"),
        ([("model.num_heads", "three")], "model.num_heads: expected integer, found three"),
        ([("model.num_v_heads", "3")], "num_v_heads is 3; it must be a multiple of num_heads (2)"),
        ([("model.vocab_size", "100")], "model.vocab_size: is 100, but the tokenizer has 256 tokens"),
        ([("data.train", "[]")], "data.train: names no training data"),
        ([("data.train", "/nowhere/x.txt")], "/nowhere/x.txt"),
        ([("training.steps", "null")], "the run has no length"),
        ([("run.dtype", "bfloat16")], "run.dtype: bfloat16 training is not available on the CPU"),
        ([("run.tf32", "true")], "run.tf32: TF32 products are not available on the CPU"),
        ([("training.prompts", "[\"\"]")], "holds an empty prompt"),
        ([("data.tokenizer", "/nowhere")], "/nowhere: open failed"),
        ([("data.length", "100_000")], "the data have"),
        (
            [("data.task", "recall"), ("training.sample_every", "0"), ("data.recall_pairs", "40")],
            "do not fit 32 tokens"
        ),
        ([("run.folder", "/proc/nowhere")], "/proc/nowhere"),
        (
            [("training.eval_lengths", "[32, 1_000_000]")],
            "training.eval_lengths: cannot evaluate at 1000000: the held-out data have"
        ),
        (
            [
                ("data.task", "recall"), ("training.sample_every", "0"), ("data.recall_pairs", "4"),
                ("training.eval_lengths", "[32, 8]"),
            ], "training.eval_lengths: cannot evaluate at 8: 4 pairs and 4 queries do not fit 8 tokens"
        ),
    ])
    func whatCannotWorkIsSaidInOneSentence(overrides: [(String, String)], message: String) throws {
        #expect { try run(recipe(overrides)) } throws: { error in
            "\(error)".contains(message) && !"\(error)".contains("\n")
        }
        // Said before any training.
        #expect(content(runFolder + "/metrics.jsonl") == nil)
    }

    @Test func modelKeysOfTheRecipeAreThoseOfTheConfiguration() {
        let documented = Set(Recipe.keys.map(\.path).filter { $0.hasPrefix("model.") }.map { $0.dropFirst(6) })
        let read = Set(ModelConfiguration.keys.map { Substring($0) })
        #expect(documented.subtracting(read) == ["preset", "config", "init"])
        #expect(read.subtracting(documented) == ["model_type"])
    }

    private var root: String {
        let parts = #filePath.split(separator: "/")
        return "/" + parts[..<(parts.lastIndex(of: "Tests") ?? 0)].joined(separator: "/")
    }

    /// Recipes that come with the package are valid, and their comments say what the table of keys says.
    @Test func recipesOfThePackageAreValidAndCommented() throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: root + "/Recipes").filter {
            $0.hasSuffix(".yaml")
        }
        #expect(names.count >= 5)
        for name in names {
            let recipe = try Recipe.load("\(root)/Recipes/\(name)")
            try recipe.validate()
            _ = try recipe.modelConfiguration()
            #expect(recipe.totalSteps > 0)
            #expect(recipe.schedule.warmupTokens < recipe.totalSteps * recipe.tokensPerStep)
            var section = ""
            for line in try String(contentsOfFile: "\(root)/Recipes/\(name)", encoding: .utf8).split(separator: "\n") {
                if line.first?.isLetter ?? false { section = String(line.prefix { $0 != ":" }) }
                guard line.hasPrefix("  "), line.dropFirst(2).first?.isLetter ?? false else { continue }
                let key = Recipe.keys.first { $0.path == "\(section).\(line.dropFirst(2).prefix { $0 != ":" })" }
                #expect(line.hasSuffix("# \(key?.comment ?? "?")"), "\(name): \(line)")
            }
        }
    }

    @Test func theTableOfKeysInTheDocumentationIsCurrent() throws {
        let text = try String(contentsOfFile: root + "/Documentation/Options.md", encoding: .utf8)
        #expect(text.contains(Recipe.keyTable), "run Scripts/docs")
    }
}
