/// The lines of `metrics.jsonl`: what each says and how it is written.
import GDNFormats
import GDNTensor

/// One optimiser step as it is logged.
public struct StepRecord: Sendable, Equatable {
    /// Number of the step, from 1.
    public var step: Int
    /// Tokens seen up to and including it.
    public var tokens: Int
    /// Mean loss of its micro-batches in nats a token; nil when it was not finite.
    public var loss: Double?
    /// Loss smoothed over about the last 50 steps.
    public var smoothedLoss: Double?
    /// Global gradient norm before clipping; nil when it was not finite.
    public var gradientNorm: Double?
    /// Learning rate used.
    public var learningRate: Double
    /// Tokens a second since the last record.
    public var tokensPerSecond: Double
    /// Share of the machine's matrix-product rate that the model's arithmetic reached; nil when not measured.
    public var peakShare: Double?
    /// Resident memory in bytes.
    public var memory: Int
    /// Seconds of training so far, over all processes of the run.
    public var seconds: Double
    /// Steps so far whose gradient was not finite and which changed nothing.
    public var skipped: Int
    /// Share of the time since the last record in which steps waited for their batches; nil when not measured.
    public var waitingShare: Double?

    /// A record of its numbers.
    package init(
        step: Int, tokens: Int, loss: Double?, smoothedLoss: Double?, gradientNorm: Double?, learningRate: Double,
        tokensPerSecond: Double, peakShare: Double?, memory: Int, seconds: Double, skipped: Int,
        waitingShare: Double? = nil
    ) {
        self.step = step
        self.tokens = tokens
        self.loss = loss
        self.smoothedLoss = smoothedLoss
        self.gradientNorm = gradientNorm
        self.learningRate = learningRate
        self.tokensPerSecond = tokensPerSecond
        self.peakShare = peakShare
        self.memory = memory
        self.seconds = seconds
        self.skipped = skipped
        self.waitingShare = waitingShare
    }
}

/// What one evaluation at one context length found.
public struct EvaluationRecord: Sendable, Equatable {
    /// Optimiser step after which it was made.
    public var step: Int
    /// Context length in tokens.
    public var length: Int
    /// Tokens predicted.
    public var tokens: Int
    /// Mean loss in nats a token.
    public var loss: Double
    /// Bits a byte of the text; nil where tokens have no bytes.
    public var bitsPerByte: Double?
    /// Share of targets that were the likeliest token; nil where not counted.
    public var accuracy: Double?

    /// e to the loss.
    public var perplexity: Double { exp(loss) }

    /// A result.
    public init(
        step: Int, length: Int, tokens: Int, loss: Double, bitsPerByte: Double? = nil, accuracy: Double? = nil
    ) {
        self.step = step
        self.length = length
        self.tokens = tokens
        self.loss = loss
        self.bitsPerByte = bitsPerByte
        self.accuracy = accuracy
    }
}

/// A line of `metrics.jsonl`.
public enum MetricsRecord: Sendable, Equatable {
    /// An optimiser step.
    case step(StepRecord)
    /// An evaluation.
    case evaluation(EvaluationRecord)
    /// A text drawn from the model after a step.
    case sample(step: Int, prompt: String, text: String)
    /// A process went on from this step: later records before this line belong to a lost future.
    case resume(step: Int)

    /// The step it belongs to.
    public var step: Int {
        switch self {
        case .step(let record): record.step
        case .evaluation(let record): record.step
        case .sample(let step, _, _), .resume(let step): step
        }
    }

    /// The line as JSON; numbers that are not finite become null.
    var json: JSONValue {
        func number(_ value: Double?) -> JSONValue { value.map { $0.isFinite ? .number($0) : .null } ?? .null }
        switch self {
        case .step(let record):
            return .object([
                "kind": .string("step"), "step": .integer(record.step), "tokens": .integer(record.tokens),
                "loss": number(record.loss), "smoothed_loss": number(record.smoothedLoss),
                "gradient_norm": number(record.gradientNorm), "learning_rate": number(record.learningRate),
                "tokens_per_second": number(record.tokensPerSecond), "peak_share": number(record.peakShare),
                "memory": .integer(record.memory), "seconds": number(record.seconds),
                "skipped": .integer(record.skipped), "waiting_share": number(record.waitingShare),
            ])
        case .evaluation(let record):
            return .object([
                "kind": .string("evaluation"), "step": .integer(record.step), "length": .integer(record.length),
                "tokens": .integer(record.tokens), "loss": number(record.loss), "perplexity": number(record.perplexity),
                "bits_per_byte": number(record.bitsPerByte), "accuracy": number(record.accuracy),
            ])
        case .sample(let step, let prompt, let text):
            return .object([
                "kind": .string("sample"), "step": .integer(step), "prompt": .string(prompt), "text": .string(text),
            ])
        case .resume(let step):
            return .object(["kind": .string("resume"), "step": .integer(step)])
        }
    }

    /// Reads a line; nil when it is no record.
    init?(_ json: JSONValue) {
        guard let step = json["step"]?.integer else { return nil }
        switch json["kind"]?.string {
        case "step":
            self = .step(
                StepRecord(
                    step: step, tokens: json["tokens"]?.integer ?? 0, loss: json["loss"]?.double,
                    smoothedLoss: json["smoothed_loss"]?.double, gradientNorm: json["gradient_norm"]?.double,
                    learningRate: json["learning_rate"]?.double ?? 0,
                    tokensPerSecond: json["tokens_per_second"]?.double ?? 0, peakShare: json["peak_share"]?.double,
                    memory: json["memory"]?.integer ?? 0, seconds: json["seconds"]?.double ?? 0,
                    skipped: json["skipped"]?.integer ?? 0, waitingShare: json["waiting_share"]?.double))
        case "evaluation":
            guard let length = json["length"]?.integer, let loss = json["loss"]?.double else { return nil }
            self = .evaluation(
                EvaluationRecord(
                    step: step, length: length, tokens: json["tokens"]?.integer ?? 0, loss: loss,
                    bitsPerByte: json["bits_per_byte"]?.double, accuracy: json["accuracy"]?.double))
        case "sample":
            self = .sample(step: step, prompt: json["prompt"]?.string ?? "", text: json["text"]?.string ?? "")
        case "resume": self = .resume(step: step)
        default: return nil
        }
    }
}
