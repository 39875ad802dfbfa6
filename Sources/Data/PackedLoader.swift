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
    public var windowCount: Int { windows.count }
    private let windows: WindowSequence

    /// A loader at the beginning of the first pass.
    /// - Throws: `DataError` when a setting is impossible or the stream has not even one window.
    public init(_ stream: TokenStream, _ settings: Settings) throws {
        try settings.check()
        windows = try WindowSequence(
            stream, length: settings.length, shuffle: settings.shuffle, seed: settings.seed, name: "the data")
        self.settings = settings
        state = LoaderState(source: settings.identity(of: stream), seed: settings.seed)
    }

    /// Input tokens of a pass.
    public var tokensPerEpoch: Int? { windowCount * settings.length }

    /// The next batch.
    /// - Throws: `FormatError` for a token outside the vocabulary.
    public mutating func next() throws -> Batch {
        var place = state
        var builder = BatchBuilder(rows: settings.rows, length: settings.length, resets: settings.resets)
        for row in 0..<settings.rows * settings.ranks {
            if settings.isMine(row) {
                try builder.append(windows.stream, at: windows.start(epoch: place.epoch, position: place.position))
            }
            windows.advance(&place)
        }
        state = place
        return builder.finish()
    }

    /// Goes to a position.
    /// - Throws: `DataError` when the state is of other data, another length, other switches or another seed.
    public mutating func restore(_ state: LoaderState) throws {
        try state.check(source: self.state.source, seed: self.state.seed)
        try windows.check(state)
        self.state = state
    }
}

extension PackedLoader.Settings {
    /// - Throws: `DataError` when a setting is impossible.
    func check() throws {
        guard rows > 0, length > 0, ranks > 0, (0..<ranks).contains(rank), rows <= Int(Int32.max) / length / ranks
        else {
            throw DataError(
                "loader", "\(rows) rows of \(length) tokens on rank \(rank) of \(ranks)",
                advice: "use at least one row of one token, and fewer than 2³¹ tokens a step")
        }
    }

    /// Whether a row of a step, counted over all ranks, belongs to this one.
    func isMine(_ row: Int) -> Bool { row / rows == rank }

    /// Names a stream together with what decides which window comes when.
    func identity(of stream: TokenStream) -> String {
        "tokens \(stream.identity) length=\(length) resets=\(resets) shuffle=\(shuffle)"
    }
}

/// Held-out batches from a token stream: windows side by side, in order, every target exactly once.
public struct PackedEvaluation: EvaluationSource {
    /// The held-out tokens, opened with `verify`.
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
            let range = index < full ? index * rows..<Swift.min(windows, (index + 1) * rows) : whole..<whole + 1
            var builder = BatchBuilder(
                rows: range.count, length: index < full ? length : rest, resets: resets)
            for window in range { builder.append(verified: stream, at: window * length) }
            return builder.finish()
        }
    }
}
