/// An endless, deterministic stream of training batches whose position can be stored and restored.
///
/// Two sources made with the same arguments give the same batches; one restored to the state of another continues
/// exactly as that one would have.
public protocol BatchSource: Sendable {
    /// The batch at the present position; moves on by one batch.
    mutating func next() throws -> Batch

    /// The position of the batch that `next` would give now.
    var state: LoaderState { get }

    /// Goes to a position.
    /// - Throws: `DataError` when the state belongs to other data or other settings.
    mutating func restore(_ state: LoaderState) throws

    /// Input tokens until everything has been seen once; nil when batches are generated and never repeat.
    var tokensPerEpoch: Int? { get }
}

/// Held-out batches: the same ones at every call, at any length.
public protocol EvaluationSource: Sendable {
    /// Whether a context length can be evaluated, asked before anything is computed.
    /// - Throws: `DataError` when no row of this length can be made.
    func check(length: Int) throws

    /// Batches that score every held-out target exactly once, in order (as far as `limit` allows).
    /// - Parameters:
    ///   - rows: most rows a batch
    ///   - length: tokens a row; the last batches may have fewer rows and, at the very end, a shorter row
    ///   - limit: most targets in all, rounded up to whole rows; nil for everything
    func batches(rows: Int, length: Int, limit: Int?) throws -> BatchSequence
}

/// Batches made one at a time, when asked for.
public struct BatchSequence: Sequence, Sendable {
    /// Number of batches.
    public let count: Int
    private let make: @Sendable (Int) -> Batch

    /// The batches `make(0)`, …, `make(count - 1)`.
    public init(count: Int, make: @escaping @Sendable (Int) -> Batch) {
        self.count = count
        self.make = make
    }

    /// Makes the batches from the first.
    public func makeIterator() -> AnyIterator<Batch> {
        var index = 0
        return AnyIterator {
            guard index < count else { return nil }
            defer { index += 1 }
            return make(index)
        }
    }
}

/// Where a batch source stands; part of a checkpoint.
public struct LoaderState: Sendable, Codable, Equatable {
    /// Which data with which settings the position counts in; a source refuses another's state.
    public var source: String
    /// Seed of the order.
    public var seed: UInt64
    /// Passes over the data completed.
    public var epoch: Int
    /// Rows given out in this pass, over all ranks.
    public var position: Int
    /// Of a mixture, where each of its sources stands; nil for a single source.
    public var parts: [LoaderState]?

    /// A state from its parts.
    public init(source: String, seed: UInt64, epoch: Int = 0, position: Int = 0, parts: [LoaderState]? = nil) {
        self.source = source
        self.seed = seed
        self.epoch = epoch
        self.position = position
        self.parts = parts
    }
}

/// Data or settings of data that cannot be used: says what, which rule is broken and what to do.
public struct DataError: Error, CustomStringConvertible, Equatable, Sendable {
    /// The file, folder or setting.
    public let subject: String
    /// What was expected and what came.
    public let rule: String
    /// What the user can do.
    public let advice: String

    /// An error from its parts.
    public init(_ subject: String, _ rule: String, advice: String) {
        self.subject = subject
        self.rule = rule
        self.advice = advice
    }

    /// `subject: rule; advice`
    public var description: String { "\(subject): \(rule); \(advice)" }
}
