/// Puts windows of token streams together to a batch.
///
/// A window of T inputs has T + 1 tokens of its stream: each predicts its successor.
struct BatchBuilder {
    private let length: Int
    private let resets: Bool
    private var rows = 0
    private var tokens: [Int32] = []
    private var targets: [Int32] = []
    private var sequences: [Int32] = []

    /// An empty batch.
    /// - Parameters:
    ///   - rows: how many windows will come
    ///   - length: tokens a row T
    ///   - resets: state restarts where a document begins; what crosses such a place is not predicted
    init(rows: Int, length: Int, resets: Bool) {
        self.length = length
        self.resets = resets
        tokens.reserveCapacity(rows * length)
        targets.reserveCapacity(rows * length)
    }

    /// Appends the window of `stream` that begins at `start`.
    /// - Throws: `FormatError` for a token outside the vocabulary.
    mutating func append(_ stream: TokenStream, at start: Int) throws {
        let window = stream.tokens(start..<start + length + 1)
        try stream.check(window, from: start)
        append(window, of: stream, at: start)
    }

    /// Appends the window of a stream that was read in full when it was opened, and needs no check.
    mutating func append(verified stream: TokenStream, at start: Int) {
        append(stream.tokens(start..<start + length + 1), of: stream, at: start)
    }

    private mutating func append(_ window: [Int32], of stream: TokenStream, at start: Int) {
        tokens += window[..<length]
        targets += window[1...]
        if resets {
            sequences.append(Int32(rows * length))
            for document in stream.documentStarts(in: start + 1..<start + length + 1) {
                let place = rows * length + document - start
                targets[place - 1] = Batch.ignoredTarget
                if document < start + length { sequences.append(Int32(place)) }
            }
        }
        rows += 1
    }

    /// The batch of the windows so far.
    consuming func finish() -> Batch {
        sequences.append(Int32(rows * length))
        return Batch(
            rows: rows, length: length, tokens: tokens, targets: targets, sequences: resets ? sequences : nil)
    }
}
