/// Token sequences for one pass of the model, with what it should predict at each position.
///
/// `rows` sequences of `length` tokens, row-major. Where state must restart inside rows (`sequences` is set) the model
/// runs the same arrays as one packed row: shape [1, rows · length] with these boundaries; else as [rows, length].
public struct Batch: Sendable, Equatable {
    /// Number of rows B.
    public let rows: Int
    /// Tokens a row T.
    public let length: Int
    /// Input tokens [B · T].
    public let tokens: [Int32]
    /// What follows each token [B · T]; `ignoredTarget` where nothing is to be predicted.
    public let targets: [Int32]
    /// Ascending boundaries of the sequences inside the packed rows [N + 1], from 0 to B · T: every row's start and
    /// every document's. Nil when rows are whole sequences.
    public let sequences: [Int32]?

    /// The target that takes no part in the loss.
    public static let ignoredTarget: Int32 = -100

    /// A batch of arrays that fit together.
    public init(rows: Int, length: Int, tokens: [Int32], targets: [Int32], sequences: [Int32]? = nil) {
        precondition(tokens.count == rows * length && targets.count == rows * length)
        self.rows = rows
        self.length = length
        self.tokens = tokens
        self.targets = targets
        self.sequences = sequences
    }

    /// Number of input tokens.
    public var tokenCount: Int { tokens.count }

    /// Number of targets that take part in the loss.
    public var targetCount: Int { targets.reduce(0) { $1 == Self.ignoredTarget ? $0 : $0 + 1 } }
}
