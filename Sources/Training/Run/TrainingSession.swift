/// The components of a run, put together: model, data, optimiser, checkpoints, monitor, trainer.
import GDNAutograd
import GDNCPUBackend
import GDNData
import GDNEvaluation
import GDNFormats
import GDNInference
import GDNModels
import GDNOps
import GDNTensor
import GDNTokenizers

/// A run that is ready to train.
final class TrainingSession {
    /// The loop, at the step where it starts.
    let trainer: Trainer
    private let recipe: Recipe
    private let model: LanguageModel
    private let data: TrainingData
    private let folder: RunFolder
    private let firstStep: Int

    init(
        recipe: Recipe, model: LanguageModel, data: TrainingData, folder: RunFolder, console: Console,
        stop: StopRequest
    ) throws {
        self.recipe = recipe
        self.model = model
        self.data = data
        self.folder = folder
        let optimizer = try Optimizer(
            model.parameters, on: model.backend,
            configuration: AdamWConfiguration(
                beta1: recipe.optimizer.betas[0], beta2: recipe.optimizer.betas[1], eps: recipe.optimizer.epsilon,
                weightDecay: recipe.optimizer.weightDecay), clip: recipe.optimizer.clip)
        let checkpoint = TrainingCheckpoint(parameters: model.parameters, optimizer: optimizer, backend: model.backend)
        var source = data.source
        var state = TrainerState(data: source.state, random: Random.stream(seed: UInt64(recipe.run.seed), 1))
        if case .checkpoint(let path) = folder.start {
            try Self.compare(model.configuration, withCheckpoint: path)
            try checkpoint.restore(path, into: &state, parts: Set(StatePart.allCases))
            try source.restore(state.data)
        }
        firstStep = state.step
        let log = try MetricsLog(folder.path + "/metrics.jsonl")
        try log.write(.resume(step: state.step))
        let events = try EventSink(folder: folder.path)
        let peak = MatrixProductRate.measure(model.backend)
        let plan = TrainingPlan(recipe)
        var components = Trainer.Components(
            step: TrainingStep(model: model, optimizer: optimizer, recompute: recipe.training.recompute),
            source: source)
        components.stop = stop
        components.monitor = RunMonitor(
            log: log, console: console, progress: Progress(totalSteps: plan.totalSteps),
            flopsPerToken: model.trainingFLOPsPerToken, peak: peak, sinks: [events.write])
        components.evaluate = Self.evaluation(recipe, model, data)
        components.sample = Self.sampling(recipe, model, data)
        components.save = Self.saving(recipe, model, data, folder, checkpoint)
        trainer = Trainer(plan: plan, components: components, state: state)
    }

    /// Writes `recipe.yaml` and `run.json`.
    func record(_ options: TrainingOptions) throws {
        let text = try recipe.resolved()
        let path = folder.path + "/recipe.yaml"
        let before = (try? MappedFile(path)).map { file in file.read(0..<file.bytes.count) { Array($0) } }
        if before == nil {
            try Self.replace(path, text)
        } else if before != Array(text.utf8) {
            try Self.replace(folder.path + "/recipe-from-\(CheckpointStore.name(step: firstStep)).yaml", text)
        }
        var record =
            RunRecord(folder: folder.path)
            ?? RunRecord(
                seed: recipe.run.seed, parameters: model.parameterCount, totalSteps: recipe.totalSteps,
                data: data.manifest)
        record.totalSteps = recipe.totalSteps
        var threads = 0
        if case .cpu(let cpu) = model.backend { threads = cpu.threadCount }
        record.processes.append(
            RunRecord.process(
                fromStep: firstStep, threads: threads, device: "\(model.backend.device)", command: options.command))
        try Self.replace("\(folder.path)/\(RunRecord.fileName)", record.text)
    }

    /// The last sentence of a run.
    func closing(_ outcome: TrainingOutcome) -> String {
        let state = trainer.state
        let done =
            "\(state.step) steps, \(Readable.count(Double(state.tokens))) tokens, \(Readable.duration(state.seconds))"
        switch outcome {
        case .finished:
            let best =
                state.best.map { "; best validation loss \(Readable.fixed($0.loss, 4)) at step \($0.step)" } ?? ""
            return "finished: \(done)\(best); model in \(folder.path)/latest"
        case .interrupted:
            return "interrupted after \(done); go on with --resume auto"
        }
    }

    private static func evaluation(_ recipe: Recipe, _ model: LanguageModel, _ data: TrainingData) -> (Int) throws
        -> [EvaluationRecord]
    {
        guard let source = data.evaluation else { return { _ in [] } }
        let lengths =
            recipe.training.evaluationLengths.isEmpty ? [recipe.data.length] : recipe.training.evaluationLengths
        let evaluator = Evaluator(
            source: source, lengths: lengths, limit: recipe.training.evaluationTokens,
            bytesPerToken: data.bytesPerToken, countsAnswers: recipe.data.task == .recall)
        return { step in try evaluator.run(model, step: step) }
    }

    private static func sampling(_ recipe: Recipe, _ model: LanguageModel, _ data: TrainingData) -> (
        Int, inout Random
    ) throws -> [MetricsRecord] {
        guard let tokenizer = data.tokenizer else { return { _, _ in [] } }
        let generator = TextGenerator(model: model, tokenizer: tokenizer)
        let section = recipe.training
        return { step, random in
            try section.prompts.map { prompt in
                var text = ""
                let options = SamplingOptions(temperature: Float(section.sampleTemperature), seed: random.next())
                try generator.generate(prompt, options: options, limit: section.sampleTokens) { piece in
                    text += piece
                    return true
                }
                return .sample(step: step, prompt: prompt, text: text)
            }
        }
    }

    private static func saving(
        _ recipe: Recipe, _ model: LanguageModel, _ data: TrainingData, _ folder: RunFolder,
        _ checkpoint: TrainingCheckpoint
    ) -> (TrainerState) throws -> Void {
        { state in
            let configuration = String(
                decoding: try ModelFolder.configurationData(model.configuration), as: UTF8.self)
            var files = [CheckpointFile("config.json", text: configuration + "\n")]
            if let tokenizer = data.tokenizer {
                files += tokenizer.files.map { CheckpointFile($0.name, bytes: $0.bytes) }
            }
            files += try checkpoint.files(state)
            let store = folder.checkpoints
            try store.write(step: state.step, files: files)
            try store.link("latest", step: state.step)
            let best = recipe.checkpoint.keepBest ? state.best?.step : nil
            if let best, store.has(step: best) { try store.link("best", step: best) }
            try store.prune(keepLast: recipe.checkpoint.keepLast, always: best.map { [$0] } ?? [])
        }
    }

    /// Refuses to go on with another model than the checkpoint's.
    private static func compare(_ configuration: ModelConfiguration, withCheckpoint path: String) throws {
        let stored = try ModelFolder.configuration(of: path)
        guard stored != configuration else { return }
        let (old, new) = (try Recipe.modelKeys(stored), try Recipe.modelKeys(configuration))
        let changed = Set(old.keys).union(new.keys).filter { old[$0] != new[$0] }.sorted().map {
            "\($0) was \(old[$0]?.yaml ?? "absent"), is \(new[$0]?.yaml ?? "absent")"
        }
        throw RecipeError(
            "the checkpoint \(path) is of another model: \(changed.joined(separator: ", ")); resume with the recipe of the run",
            key: "model")
    }

    private static func replace(_ path: String, _ text: String) throws {
        try OutputFile.replace(path) { try $0.write(Array(text.utf8)) }
    }
}
