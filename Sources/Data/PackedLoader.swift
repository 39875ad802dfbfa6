import GDNTensor

/// Training batches from a token stream: equal windows of it, in an order that changes with every pass.
///
/// A pass (epoch) cuts the stream into windows of `length` tokens, side by side, and gives out each exactly once; the
/// last token of a window's targets is the first input of the next. What does not fill a window (fewer tokens than
/// one) is left out at the two ends, a different part in every pass. A batch that reaches the end of a pass is filled
/// from the next one. The position is a number of rows, so it survives a change of the batch size or the number of
/// ranks.
public struct PackedLoader: BatchSource {
    /// How the stream becomes batches.
    public struct Settings: Sendable, Codable, Equatable {
        /// Rows a batch B, on each rank.
        public var rows: Int
        /// Tokens a row T.
        public var length: Int
        /// State restarts where a document begins, and nothing is predicted across.
        public var resets: Bool
        /// Windows come in random order; else in the order of the stream.
        public var shuffle: Bool
        /// Decides the order.
        public var seed: UInt64
        /// This process among `ranks` that share every step's rows.
        public var rank: Int
        /// Number of processes.
        public var ranks: Int

        /// Settings; only the batch's extents have no default.
        public init(
            rows: Int, length: Int, resets: Bool = true, shuffle: Bool = true, seed: UInt64 = 0, rank: Int = 0,
            ranks: Int = 1
        ) {
            self.rows = rows
            self.length = length
            self.resets = resets
            self.shuffle = shuffle
            self.seed = seed
            self.rank = rank
            self.ranks = ranks
        }
    }

    /// How the stream becomes batches.
    public let settings: Settings
    /// Where the next batch begins; its position counts the rows of all ranks.
    public private(set) var state: LoaderState
    /// Rows of a pass, over all ranks.
    public let windowCount: Int
    private let stream: TokenStream

    /// A loader at the beginning of the first pass.
    /// - Throws: `DataError` when a setting is impossible or the stream has not even one window.
    public init(_ stream: TokenStream, _ settings: Settings) throws {
        guard settings.rows > 0, settings.length > 0, settings.ranks > 0, (0..<settings.ranks).contains(settings.rank),
            settings.rows <= Int(Int32.max) / settings.length / settings.ranks
        else {
            throw DataError(
                "loader",
                "\(settings.rows) rows of \(settings.length) tokens on rank \(settings.rank) of \(settings.ranks)",
                advice: "use at least one row of one token, and fewer than 2³¹ tokens a step")
        }
        guard stream.tokenCount > settings.length else {
            throw DataError(
                "loader", "the data have \(stream.tokenCount) tokens, a row takes \(settings.length) and one more",
                advice: "use more data or shorter rows")
        }
        self.stream = stream
        self.settings = settings
        windowCount = (stream.tokenCount - 1) / settings.length
        state = LoaderState(source: Self.identity(stream, settings), seed: settings.seed)
    }

    /// Input tokens of a pass.
    public var tokensPerEpoch: Int? { windowCount * settings.length }

    /// The next batch.
    public mutating func next() -> Batch {
        var place = state
        var starts: [Int] = []
        let mine = settings.rank * settings.rows..<(settings.rank + 1) * settings.rows
        for row in 0..<settings.rows * settings.ranks {
            if mine.contains(row) { starts.append(start(of: place)) }
            advance(&place)
        }
        state = place
        return stream.batch(starts: starts, length: settings.length, resets: settings.resets)
    }

    /// Goes to a position.
    /// - Throws: `DataError` when the state is of other data, another length, other switches or another seed.
    public mutating func restore(_ state: LoaderState) throws {
        try state.check(source: self.state.source, seed: self.state.seed)
        guard state.position < windowCount else {
            throw DataError(
                "loader state", "position \(state.position) is beyond the \(windowCount) rows of a pass",
                advice: "the checkpoint is damaged: resume from the one before")
        }
        self.state = state
    }

    private func start(of place: LoaderState) -> Int {
        let spare = stream.tokenCount - 1 - windowCount * settings.length
        guard settings.shuffle else { return place.position * settings.length }
        // Stream 2 · epoch is the order's, 2 · epoch + 1 the offset's.
        var random = Random.stream(seed: settings.seed, UInt64(place.epoch) << 1 | 1)
        let offset = random.index(below: spare + 1)
        let order = WindowOrder(count: windowCount, seed: settings.seed, stream: UInt64(place.epoch) << 1)
        return offset + order[place.position] * settings.length
    }

    private func advance(_ place: inout LoaderState) {
        place.position += 1
        if place.position == windowCount {
            place.position = 0
            place.epoch += 1
        }
    }

    private static func identity(_ stream: TokenStream, _ settings: Settings) -> String {
        "tokens \(stream.identity) length=\(settings.length) resets=\(settings.resets) shuffle=\(settings.shuffle)"
    }
}

/// Held-out batches from a token stream: windows side by side, in order, every target exactly once.
public struct PackedEvaluation: EvaluationSource {
    /// The held-out tokens.
    public let stream: TokenStream
    /// State restarts where a document begins, and nothing is predicted across.
    public let resets: Bool

    /// Batches from a stream.
    public init(_ stream: TokenStream, resets: Bool = true) {
        self.stream = stream
        self.resets = resets
    }

    /// - Throws: `DataError` when the held-out data do not fill one window of this length.
    public func check(length: Int) throws {
        guard length > 0, stream.tokenCount > length else {
            throw DataError(
                "evaluation",
                "the held-out data have \(stream.tokenCount) tokens, a length of \(length) takes one more",
                advice: "use shorter lengths, at least 1, or a larger validation share")
        }
    }

    /// Windows of `length` tokens; the stream's end comes as one row of the tokens that are left.
    /// - Throws: `DataError` when there is nothing to predict or an extent is not positive.
    public func batches(rows: Int, length: Int, limit: Int?) throws -> BatchSequence {
        guard rows > 0, length > 0 else {
            throw DataError(
                "evaluation", "\(rows) rows of \(length) tokens", advice: "use at least one row of one token")
        }
        guard stream.tokenCount > 1 else {
            throw DataError(
                "evaluation", "the held-out data have \(stream.tokenCount) tokens",
                advice: "use a larger validation share")
        }
        let whole = (stream.tokenCount - 1) / length
        var windows = whole
        var rest = stream.tokenCount - 1 - whole * length
        if let limit, case let wanted = max(1, (limit + length - 1) / length), wanted <= whole {
            windows = wanted
            rest = 0
        }
        let full = (windows + rows - 1) / rows
        return BatchSequence(count: full + (rest > 0 ? 1 : 0)) { [stream, resets, windows, rest] index in
            guard index < full else { return stream.batch(starts: [whole * length], length: rest, resets: resets) }
            let range = index * rows..<Swift.min(windows, (index + 1) * rows)
            return stream.batch(starts: range.map { $0 * length }, length: length, resets: resets)
        }
    }
}
