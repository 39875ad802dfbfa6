import GDNTensor

/// The windows of a stream, pass after pass: which one stands at a position.
///
/// A pass cuts the stream into windows of `length` tokens, side by side. What does not fill a window is left out at
/// the two ends, a different part in every pass.
struct WindowSequence: Sendable {
    let stream: TokenStream
    /// Windows of a pass.
    let count: Int
    private let length: Int
    private let shuffle: Bool
    private let seed: UInt64

    /// The windows of a stream.
    /// - Throws: `DataError` when there is not even one; `name` says of what.
    init(_ stream: TokenStream, length: Int, shuffle: Bool, seed: UInt64, name: String) throws {
        guard stream.tokenCount > length else {
            throw DataError(
                "loader", "\(name) have \(stream.tokenCount) tokens, a row takes \(length) and one more",
                advice: "use more data or shorter rows")
        }
        self.stream = stream
        self.length = length
        self.shuffle = shuffle
        self.seed = seed
        count = (stream.tokenCount - 1) / length
    }

    /// The first token of the window at a position of a pass.
    func start(epoch: Int, position: Int) -> Int {
        guard shuffle else { return position * length }
        let spare = stream.tokenCount - 1 - count * length
        // Stream 2 · epoch is the order's, 2 · epoch + 1 the offset's.
        var random = Random.stream(seed: seed, UInt64(epoch) << 1 | 1)
        let offset = random.index(below: spare + 1)
        let order = WindowOrder(count: count, seed: seed, stream: UInt64(epoch) << 1)
        return offset + order[position] * length
    }

    /// Moves on by a row.
    func advance(_ place: inout LoaderState) {
        place.position += 1
        if place.position == count {
            place.position = 0
            place.epoch += 1
        }
    }

    /// - Throws: `DataError` for a position beyond the pass.
    func check(_ place: LoaderState) throws {
        guard place.position < count else {
            throw DataError(
                "loader state", "position \(place.position) is beyond the \(count) rows of a pass",
                advice: "the checkpoint is damaged: resume from the one before")
        }
    }
}
