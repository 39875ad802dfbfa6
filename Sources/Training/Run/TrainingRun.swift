/// A run from its recipe to its end: opens what it needs, trains, and leaves a folder that tells everything.
import GDNAutograd
import GDNCPUBackend
import GDNCUDABackend
import GDNData
import GDNEvaluation
import GDNFormats
import GDNInference
import GDNModels
import GDNOps
import GDNTensor
import GDNTokenizers

/// What the command line says about a run beside its recipe.
public struct TrainingOptions: Sendable {
    /// Whether to go on from a checkpoint.
    public var resume: ResumeMode
    /// Whether a run in the same folder is removed first.
    public var overwrite: Bool
    /// A model folder whose weights to start from.
    public var initFrom: String?
    /// The command, for the run's record.
    public var command: [String]

    /// Options; by default a fresh run in a folder of its own.
    public init(
        resume: ResumeMode = .never, overwrite: Bool = false, initFrom: String? = nil, command: [String] = []
    ) {
        self.resume = resume
        self.overwrite = overwrite
        self.initFrom = initFrom
        self.command = command
    }
}

/// Trains a model as a recipe says.
///
///     let run = try TrainingRun(recipe: Recipe.load("Recipes/tiny-cpu.yaml"), options: TrainingOptions())
///     let outcome = try run.run()
public final class TrainingRun {
    /// The recipe.
    public let recipe: Recipe
    /// Shape and switches of the model.
    public let configuration: ModelConfiguration
    private let options: TrainingOptions
    private let console: Console
    private let operations: FileOperations

    /// Checks a recipe.
    /// - Throws: `RecipeError` or `ConfigurationError` when the recipe is not complete or does not fit together.
    public convenience init(recipe: Recipe, options: TrainingOptions = TrainingOptions()) throws {
        try self.init(recipe: recipe, options: options, console: Console())
    }

    /// A run that reports to a given console.
    package init(
        recipe: Recipe, options: TrainingOptions, console: Console, operations: FileOperations = FileOperations()
    ) throws {
        self.recipe = recipe
        self.options = options
        self.console = console
        self.operations = operations
        try recipe.validate()
        configuration = try recipe.modelConfiguration()
        guard !options.overwrite || options.resume == .never else {
            throw RecipeError("--overwrite and --resume exclude each other: give one")
        }
    }

    /// What the run would be: resolved recipe, parameters by part, memory, steps, time. Writes nothing.
    public func dryRun() throws -> String {
        let peak = MatrixProductRate.measure(try makeBackend())
        return try DryRun(recipe: recipe, configuration: configuration, peak: peak).text
    }

    /// Trains to the end or until SIGINT or SIGTERM. Progress that cannot be written to standard output is an error only
    /// after the last step; a closed pipe ends the run as a signal does.
    /// - Throws: `CheckpointError`, `DataError`, `FormatError`, `TrainingError`, … each one sentence.
    public func run() throws -> TrainingOutcome {
        try run(stop: StopRequest(onSignals: true))
    }

    /// Trains until `stop` asks to end.
    package func run(stop: StopRequest) throws -> TrainingOutcome {
        let backend = try makeBackend()
        let folder = try RunFolder(
            recipe.runFolder, resume: options.resume, overwrite: options.overwrite, operations: operations)
        for note in folder.notes { console.line(note) }
        var preparing = DataPreparation.Options()
        preparing.threads = recipe.run.threads
        preparing.shouldStop = { stop.isRequested }
        let data: TrainingData
        do {
            data = try TrainingData(
                recipe, vocabulary: configuration.vocabularySize, folder: recipe.data.cache ?? folder.path + "/data",
                options: preparing)
        } catch let interruption as DataPreparation.Interrupted {
            console.line("\(interruption)")
            return .interrupted
        }
        for note in data.notes { console.line(note) }
        if let note = recipe.warmUpNote { console.line(note) }
        try rehearse(backend, data)
        let model = try makeModel(backend)
        let session = try TrainingSession(
            recipe: recipe, model: model, data: data, folder: folder, console: console, stop: stop)
        try session.record(options)
        let outcome = try session.trainer.run()
        console.line(session.closing(outcome))
        if let failure = console.failure { throw failure }
        return outcome
    }

    private func makeBackend() throws -> Backend {
        switch Device(recipe.run.device) ?? .cpu {
        case .cpu: return .cpu(CPUBackend(threads: recipe.run.threads, matrixProducts: try .fromEnvironment()))
        case .cuda(let index):
            return .cuda(
                try CUDABackend(
                    deviceIndex: index, computeType: recipe.run.dtype == .bfloat16 ? .bfloat16 : .float32,
                    allowsTF32: recipe.run.tf32))
        }
    }

    /// Has the kernels of a training step compiled while weights are drawn.
    private func rehearse(_ backend: Backend, _ data: TrainingData) throws {
        guard case .cuda(let cuda) = backend else { return }
        var source = data.source
        let batch = try source.next()
        try cuda.rehearse {
            let model = try LanguageModel(configuration, backend: backend)
            let optimizer = try Optimizer(
                model.parameters, on: backend, configuration: AdamWConfiguration(), clip: recipe.optimizer.clip)
            let step = TrainingStep(model: model, optimizer: optimizer, recompute: recipe.training.recompute)
            _ = try step.run([batch], learningRate: 0)
        }
    }

    private func makeModel(_ backend: Backend) throws -> LanguageModel {
        let scheme: InitialisationScheme = recipe.model.scheme == .fla ? .fla : .paper
        let model = try LanguageModel(
            configuration, backend: backend, seed: UInt64(recipe.run.seed), scheme: scheme)
        if let folder = options.initFrom {
            try ModelFolder.loadWeights(folder, into: model)
            console.line("weights from \(folder)")
        }
        let count = Readable.count(Double(model.parameterCount))
        console.line("model: \(count) parameters, \(configuration.layers) layers of \(configuration.hiddenSize)")
        return model
    }
}

extension Recipe {
    /// What to say about a warm-up that never ends; nil when it does.
    var warmUpNote: String? {
        guard schedule.warmupTokens > totalSteps * tokensPerStep else { return nil }
        return "note: the warm-up of \(schedule.warmupTokens) tokens is longer than the run; "
            + "the learning rate does not reach its peak"
    }

    /// Checks what no single key can.
    /// - Throws: `RecipeError`.
    public func validate() throws {
        guard training.steps != nil || training.tokens != nil else {
            throw RecipeError("the run has no length; give training.steps or training.tokens", key: "training.steps")
        }
        guard run.dtype == .float32 || run.device != "cpu" else {
            throw RecipeError("bfloat16 training is not available on the CPU; use float32", key: "run.dtype")
        }
        guard !run.tf32 || run.device != "cpu" else {
            throw RecipeError("TF32 products are not available on the CPU; leave it false", key: "run.tf32")
        }
        guard training.sampleEvery == 0 || (!training.prompts.isEmpty && data.task == .text) else {
            throw RecipeError("samples need training.prompts and data of text", key: "training.sample_every")
        }
        guard !training.prompts.contains("") else {
            throw RecipeError("holds an empty prompt; give each at least one character", key: "training.prompts")
        }
    }
}
