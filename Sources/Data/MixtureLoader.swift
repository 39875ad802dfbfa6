import GDNFormats

/// Training batches from several sources in fixed shares of rows.
///
/// Each source passes over its windows as `PackedLoader` does, with an order of its own; which source gives the next
/// row is decided by `MixtureSchedule`, the same on every rank. A source that ends begins its next pass while the
/// others go on: weights decide how often a source is seen, its size does not.
public struct MixtureLoader: BatchSource {
    /// One source of a mixture.
    public struct Source: Sendable {
        /// Its name in messages.
        public let name: String
        /// Its tokens.
        public let stream: TokenStream
        /// Its share of rows, relative to the other weights.
        public let weight: Double

        /// A source with its weight.
        public init(name: String, stream: TokenStream, weight: Double) {
            self.name = name
            self.stream = stream
            self.weight = weight
        }
    }

    /// How rows become batches.
    public let settings: PackedLoader.Settings
    /// Where the next batch begins: rows of all ranks so far, and each source's own position.
    public var state: LoaderState {
        LoaderState(source: identity, seed: settings.seed, position: position, parts: places)
    }
    private let identity: String
    private let windows: [WindowSequence]
    private var schedule: MixtureSchedule
    private var places: [LoaderState]
    private var position = 0

    /// A loader at the beginning.
    /// - Throws: `DataError` for impossible settings or weights, a source without one window, and sources of different
    ///   vocabularies.
    public init(_ sources: [Source], _ settings: PackedLoader.Settings) throws {
        try settings.check()
        schedule = try MixtureSchedule(weights: sources.map(\.weight))
        // One stream of all checks that they are of one tokenizer.
        _ = try TokenStream(joining: sources.map(\.stream))
        self.settings = settings
        windows = try sources.enumerated().map { index, source in
            try WindowSequence(
                source.stream, length: settings.length, shuffle: settings.shuffle,
                seed: settings.seed &+ UInt64(index) &* 0x9e37_79b9_7f4a_7c15, name: source.name)
        }
        places = sources.map { LoaderState(source: settings.identity(of: $0.stream), seed: settings.seed) }
        let parts = zip(places, schedule.weights).map { "\($1) × \($0.source)" }.joined(separator: "; ")
        identity = "mixture \(SHA256.digest(Array(parts.utf8)).prefix(16))"
    }

    /// Input tokens until every source has been seen once.
    public var tokensPerEpoch: Int? {
        let total = Double(schedule.weights.reduce(0, +))
        let rows = zip(windows, schedule.weights).map { Double($0.count) * total / Double($1) }.max() ?? 0
        return Int(min(rows.rounded(.up), 0x1p40)) * settings.length
    }

    /// The next batch.
    /// - Throws: `FormatError` for a token outside the vocabulary.
    public mutating func next() throws -> Batch {
        var (next, places) = (schedule, places)
        var builder = BatchBuilder(rows: settings.rows, length: settings.length, resets: settings.resets)
        for row in 0..<settings.rows * settings.ranks {
            let source = next.next()
            if settings.isMine(row) {
                let (window, place) = (windows[source], places[source])
                try builder.append(window.stream, at: window.start(epoch: place.epoch, position: place.position))
            }
            windows[source].advance(&places[source])
        }
        (schedule, self.places) = (next, places)
        position += settings.rows * settings.ranks
        return builder.finish()
    }

    /// Goes to a position.
    /// - Throws: `DataError` when the state is of another mixture, other settings or another seed.
    public mutating func restore(_ state: LoaderState) throws {
        try state.check(source: identity, seed: settings.seed)
        let parts = state.parts ?? []
        guard parts.count == places.count else {
            throw DataError(
                "loader state", "has \(parts.count) sources, the mixture has \(places.count)",
                advice: "resume with the mixture of the checkpoint")
        }
        var rows: [Int] = []
        for (index, part) in parts.enumerated() {
            try part.check(source: places[index].source, seed: settings.seed)
            try windows[index].check(part)
            let (before, overflow) = part.epoch.multipliedReportingOverflow(by: windows[index].count)
            guard !overflow, before < 1 << 60 else { throw Self.damaged(part.epoch) }
            rows.append(before + part.position)
        }
        guard rows.reduce(0, +) == state.position else { throw Self.damaged(state.position) }
        try schedule.restore(rows: rows)
        places = parts
        position = state.position
    }

    private static func damaged(_ number: Int) -> DataError {
        DataError(
            "loader state", "\(number) does not fit the positions of the sources",
            advice: "the checkpoint is damaged: resume from the one before")
    }
}
