/// Everything that determines a training run, section by section. Each key's type, default and meaning: `Recipe.keys`.

import GDNData

/// A training run in full: what to train, on what, how, and where the results go.
///
/// Read from YAML with `Recipe.load`; the stored defaults here are the defaults of the keys.
public struct Recipe: Sendable, Equatable {
    /// Where the run lives and what it runs on.
    public var run = Run()
    /// What is trained.
    public var model = Model()
    /// What it is trained on.
    public var data = Data()
    /// AdamW and clipping.
    public var optimizer = Optimizer()
    /// The learning rate over the run.
    public var schedule = ScheduleSection()
    /// How long, how often, how much at once.
    public var training = Training()
    /// What is kept on disk.
    public var checkpoint = CheckpointSection()

    /// A recipe of defaults; it lacks a model and data.
    public init() {}

    /// Section `run`.
    public struct Run: Sendable, Equatable {
        /// Name of the run's folder.
        public var name = "run"
        /// Folder that holds runs.
        public var folder = "runs"
        /// Seed of the initial weights, the order of the data and the samples.
        public var seed = 1
        /// Number of threads; nil = all processors.
        public var threads: Int?
        /// Where to compute.
        public var device = "cpu"
        /// Type of the arithmetic.
        public var dtype = NumberType.float32
        /// Whether float32 matrix products on a GPU may round their operands to TF32.
        public var tf32 = false
    }

    /// Section `model`.
    public struct Model: Sendable, Equatable {
        /// Name of a preset.
        public var preset: String?
        /// A `config.json`, or the folder it lies in.
        public var config: String?
        /// How weights are drawn.
        public var scheme = Initialisation.fla
        /// Keys of the Hugging Face configuration given in the recipe; they go over preset and file.
        public var keys: [String: RecipeValue] = [:]
    }

    /// Section `data`.
    public struct Data: Sendable, Equatable {
        /// What kind of data.
        public var task = Task.text
        /// Training files and folders.
        public var train: [String] = []
        /// Weights of the training sources; empty: one stream of all of them.
        public var weights: [Double] = []
        /// File that names sources and weights.
        public var mixture: String?
        /// Validation files and folders; empty = split off the training data.
        public var validation: [String] = []
        /// Share of the training documents split off for validation.
        public var validationFraction = 0.05
        /// Field of the text in JSON lines.
        public var field = "text"
        /// `byte`, or a tokenizer: a folder or a file that `TokenizerFile` reads.
        public var tokenizer = "byte"
        /// Tokens in a training sequence.
        public var length = 512
        /// Sequences in one micro-batch.
        public var batch = 8
        /// Whether state and convolution restart at every document.
        public var documentResets = true
        /// Whether windows of the text come in random order.
        public var shuffle = true
        /// Byte tokenizer: whether token 256 ends every document.
        public var endOfDocument = false
        /// Which text is held out.
        public var split = DataPreparation.Split.automatic
        /// Folder of the prepared tokens; nil = `data` in the run's folder.
        public var cache: String?
        /// Packed files: the token that marks documents; nil = none.
        public var separator: Int?
        /// Packed files: whether that token ends a document rather than beginning one.
        public var separatorEnds = false
        /// Steps' batches made ahead of their use; 0 = none.
        public var prefetch = 2
        /// Share of malformed records above which the run stops.
        public var malformedLimit = 0.05
        /// Recall task: key-value pairs in a sequence.
        public var recallPairs = 8
        /// Recall task: pairs asked for; nil = all.
        public var recallQueries: Int?
    }

    /// Section `optimizer`.
    public struct Optimizer: Sendable, Equatable {
        /// Peak learning rate.
        public var learningRate = 4e-4
        /// Decay rates of the two moments.
        public var betas = [0.9, 0.95]
        /// Added to the root of the second moment.
        public var epsilon = 1e-8
        /// Decoupled weight decay of matrices.
        public var weightDecay = 0.1
        /// Largest global gradient norm; nil = no clipping.
        public var clip: Double? = 1.0
    }

    /// Section `schedule`.
    public struct ScheduleSection: Sendable, Equatable {
        /// Shape after the warm-up.
        public var kind = ScheduleKind.cosine
        /// Tokens over which the rate rises from 0.
        public var warmupTokens = 0
        /// Tokens at which the rate reaches its minimum; nil = the length of the run.
        public var totalTokens: Int?
        /// Minimum as a share of the peak.
        public var minimumRatio = 0.1
    }

    /// Section `training`.
    public struct Training: Sendable, Equatable {
        /// Length of the run in tokens; `steps` goes first.
        public var tokens: Int?
        /// Length of the run in optimiser steps.
        public var steps: Int?
        /// Micro-batches in one step.
        public var accumulation = 1
        /// Whether blocks are computed twice to save memory.
        public var recompute = false
        /// Steps between evaluations; 0 = at the end only.
        public var evaluateEvery = 0
        /// Context lengths evaluated; empty = the training length.
        public var evaluationLengths: [Int] = []
        /// Most validation tokens at each length; nil = all.
        public var evaluationTokens: Int?
        /// Steps between samples; 0 = none.
        public var sampleEvery = 0
        /// Prompts of the samples.
        public var prompts: [String] = []
        /// Tokens in a sample.
        public var sampleTokens = 128
        /// Temperature of the samples.
        public var sampleTemperature = 0.8
        /// Steps between progress lines and metrics.
        public var logEvery = 10
        /// Steps without a finite gradient in a row that stop the run.
        public var nonFiniteLimit = 10
    }

    /// Section `checkpoint`.
    public struct CheckpointSection: Sendable, Equatable {
        /// Steps between checkpoints; 0 = at the end only.
        public var every = 0
        /// Number of latest checkpoints kept.
        public var keepLast = 2
        /// Whether the one with the lowest validation loss is kept as well.
        public var keepBest = true
    }

    /// Type of the arithmetic.
    public enum NumberType: String, CaseIterable, RecipeConvertible {
        /// Single precision.
        case float32
        /// bfloat16 products, float32 sums and states.
        case bfloat16
    }

    /// How weights are drawn.
    public enum Initialisation: String, CaseIterable, RecipeConvertible {
        /// N(0, 0.02) throughout, as flash-linear-attention does.
        case fla
        /// As in the paper's repository: linear layers uniform in ±1/√fan-in, residual outputs divided by √(2·layers).
        case paper
    }

    /// What the data is.
    public enum Task: String, CaseIterable, RecipeConvertible {
        /// Text from files.
        case text
        /// Multi-query associative recall, generated.
        case recall
    }

    /// Shape of the learning rate after the warm-up.
    public enum ScheduleKind: String, CaseIterable, RecipeConvertible {
        /// Half a cosine from the peak to the minimum.
        case cosine
        /// The peak throughout.
        case constant
        /// A straight line from the peak to the minimum.
        case linear
    }
}

extension Recipe {
    /// Tokens in one optimiser step.
    public var tokensPerStep: Int { data.batch * data.length * training.accumulation }

    /// Optimiser steps of the whole run.
    public var totalSteps: Int {
        if let steps = training.steps { return steps }
        return ((training.tokens ?? 0) + tokensPerStep - 1) / tokensPerStep
    }

    /// The run's folder.
    public var runFolder: String { run.folder + "/" + run.name }
}

extension DataPreparation.Split: RecipeConvertible {}
