import GDNTensor

/// Multi-query associative recall: key-value pairs, then keys again, each to be answered with its value.
///
///     k₁ v₁ k₂ v₂ … k_P v_P | q₁ a₁ … (filler between, wherever a query is not)
///
/// The task isolates the ability to look something up in the context (Arora et al. 2023, "Zoology", arXiv:2312.04927,
/// section 4): a model that solves it stores every pair in its state and finds each again. Keys are distinct within
/// a row; keys, values and filler come from disjoint parts of the vocabulary. Queries are a random choice of the
/// pairs' keys without repetition, put at random even distances behind the pairs; the target of a query's position is
/// its value, which also follows in the input. All other targets are ignored.
///
/// Rows are a function of (seed, row number) alone, so the position is one number and no row ever repeats.
public struct AssociativeRecall: BatchSource, EvaluationSource {
    /// What a row looks like.
    public struct Settings: Sendable, Codable, Equatable {
        /// Tokens: 0 is filler, then keys, then values.
        public var vocabulary: Int
        /// Tokens a row T.
        public var length: Int
        /// Pairs a row P.
        public var pairs: Int
        /// Queries a row, at most `pairs`.
        public var queries: Int

        /// Settings; by default every key is asked for.
        public init(vocabulary: Int = 256, length: Int = 64, pairs: Int = 8, queries: Int? = nil) {
            self.vocabulary = vocabulary
            self.length = length
            self.pairs = pairs
            self.queries = queries ?? pairs
        }

        /// Number of different keys: half of what filler leaves.
        var keys: Int { (vocabulary - 1) / 2 }
    }

    /// What a row looks like.
    public let settings: Settings
    /// Rows a batch B, on this rank.
    public let rows: Int
    /// Where the next batch begins.
    public private(set) var state: LoaderState
    private let rank: Int
    private let ranks: Int

    /// A source of training rows.
    /// - Parameters:
    ///   - settings: what a row looks like
    ///   - rows: rows a batch on this rank
    ///   - seed: decides all rows
    ///   - rank: this process among `ranks` that share the rows
    ///   - ranks: number of processes
    /// - Throws: `DataError` when the rows do not fit: 2 · (pairs + queries) ≤ length, pairs ≤ (vocabulary − 1) / 2.
    public init(_ settings: Settings, rows: Int, seed: UInt64, rank: Int = 0, ranks: Int = 1) throws {
        try settings.check()
        guard rows > 0, ranks > 0, (0..<ranks).contains(rank) else {
            throw DataError("recall", "\(rows) rows on rank \(rank) of \(ranks)", advice: "use at least one row")
        }
        self.settings = settings
        self.rows = rows
        self.rank = rank
        self.ranks = ranks
        state = LoaderState(source: settings.identity, seed: seed)
    }

    /// Rows never repeat.
    public var tokensPerEpoch: Int? { nil }

    /// The next batch: rows that no batch before had.
    public mutating func next() -> Batch {
        let first = state.position + rank * rows
        state.position += rows * ranks
        return Self.batch(settings, seed: state.seed, rows: first..<first + rows, stream: 0)
    }

    /// Goes to a position.
    /// - Throws: `DataError` when the state is of other data, other settings or another seed.
    public mutating func restore(_ state: LoaderState) throws {
        try state.check(source: settings.identity, seed: self.state.seed)
        self.state = state
    }

    /// - Throws: `DataError` when pairs and queries do not fit `length`.
    public func check(length: Int) throws { _ = try settings(length: length) }

    /// Held-out rows of the same seed, from a stream that training never draws.
    ///
    /// Without a limit, 1024 rows. Longer rows than in training have the same pairs and queries, farther apart.
    /// - Throws: `DataError` when pairs and queries do not fit `length`.
    public func batches(rows: Int, length: Int, limit: Int?) throws -> BatchSequence {
        let settings = try settings(length: length)
        let total = limit.map { max(1, ($0 + settings.queries - 1) / settings.queries) } ?? 1024
        let (rows, seed) = (max(1, rows), state.seed)
        return BatchSequence(count: (total + rows - 1) / rows) { index in
            let range = index * rows..<Swift.min(total, (index + 1) * rows)
            return Self.batch(settings, seed: seed, rows: range, stream: 1)
        }
    }

    private func settings(length: Int) throws -> Settings {
        var settings = settings
        settings.length = length
        try settings.check()
        return settings
    }

    private static func batch(_ settings: Settings, seed: UInt64, rows: Range<Int>, stream: UInt64) -> Batch {
        let length = settings.length
        var tokens = [Int32](repeating: 0, count: rows.count * length)
        var targets = [Int32](repeating: Batch.ignoredTarget, count: rows.count * length)
        for (row, number) in rows.enumerated() {
            var random = Random.stream(seed: seed, UInt64(number) << 1 | stream)
            let range = row * length..<(row + 1) * length
            fill(&tokens[range], &targets[range], settings, &random)
        }
        return Batch(rows: rows.count, length: length, tokens: tokens, targets: targets)
    }

    private static func fill(
        _ tokens: inout ArraySlice<Int32>, _ targets: inout ArraySlice<Int32>, _ settings: Settings,
        _ random: inout Random
    ) {
        let keys = distinct(settings.pairs, below: settings.keys, &random)
        let values = keys.map { _ in random.index(below: settings.vocabulary - 1 - settings.keys) }
        let first = tokens.startIndex
        for pair in 0..<settings.pairs {
            tokens[first + 2 * pair] = Int32(1 + keys[pair])
            tokens[first + 2 * pair + 1] = Int32(1 + settings.keys + values[pair])
        }
        let asked = distinct(settings.queries, below: settings.pairs, &random)
        let slots = distinct(settings.queries, below: (settings.length - 2 * settings.pairs) / 2, &random)
        for (pair, slot) in zip(asked, slots) {
            let place = first + 2 * (settings.pairs + slot)
            let answer = Int32(1 + settings.keys + values[pair])
            tokens[place] = Int32(1 + keys[pair])
            tokens[place + 1] = answer
            targets[place] = answer
        }
    }

    /// `count` different numbers below `bound`, in random order (Floyd's choice, then a shuffle).
    private static func distinct(_ count: Int, below bound: Int, _ random: inout Random) -> [Int] {
        var chosen = Set<Int>()
        var order: [Int] = []
        for last in bound - count..<bound {
            let candidate = random.index(below: last + 1)
            let number = chosen.insert(candidate).inserted ? candidate : last
            chosen.insert(number)
            order.append(number)
        }
        order.shuffle(using: &random)
        return order
    }
}

extension AssociativeRecall {
    /// Whether a loader's state counts in rows of this task.
    public static func made(_ state: LoaderState) -> Bool { state.source.hasPrefix("recall ") }
}

extension AssociativeRecall.Settings {
    /// Names the settings in a loader's state.
    var identity: String { "recall vocabulary=\(vocabulary) length=\(length) pairs=\(pairs) queries=\(queries)" }

    /// Throws unless a row can be made.
    func check() throws {
        let most = Int(Int32.max)
        guard (3...most).contains(vocabulary), (1...most).contains(length), pairs >= 1, (1...pairs).contains(queries)
        else {
            throw DataError(
                "recall", "\(queries) queries of \(pairs) pairs from \(vocabulary) tokens in rows of \(length)",
                advice: "use 1 ≤ queries ≤ pairs, a vocabulary of at least 3 and rows of at least 4 tokens")
        }
        guard pairs <= keys else {
            throw DataError(
                "recall", "\(pairs) pairs need as many keys, a vocabulary of \(vocabulary) has \(keys)",
                advice: "use fewer pairs or a larger vocabulary (two tokens a pair and one more)")
        }
        guard length / 2 - pairs >= queries else {
            throw DataError(
                "recall", "\(pairs) pairs and \(queries) queries do not fit \(length) tokens",
                advice: "use a length of at least \(2 * (pairs + queries))")
        }
    }
}

extension LoaderState {
    /// Throws unless the state is of this source and seed and is no nonsense.
    func check(source: String, seed: UInt64) throws {
        guard self.source == source else {
            throw DataError(
                "loader state", "belongs to \(self.source), the data now are \(source)",
                advice: "resume with the data and settings of the checkpoint, or start a new run")
        }
        guard self.seed == seed else {
            throw DataError(
                "loader state", "has seed \(self.seed), the run has \(seed)",
                advice: "resume with the checkpoint's seed, or start a new run")
        }
        guard epoch >= 0, position >= 0 else {
            throw DataError(
                "loader state", "epoch \(epoch) and position \(position) must not be negative",
                advice: "the checkpoint is damaged: resume from the one before")
        }
    }
}
