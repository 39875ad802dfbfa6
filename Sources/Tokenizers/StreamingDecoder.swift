/// Decodes tokens as they come and never gives out a part of a character.
///
/// The pieces put together are what decoding all tokens at once gives.
public struct StreamingDecoder: Sendable {
    private let tokenizer: any Tokenizer
    private var pending: [UInt8] = []

    /// A decoder at the beginning of a text.
    public init(_ tokenizer: any Tokenizer) {
        self.tokenizer = tokenizer
    }

    /// Takes one more token.
    /// - Returns: the text that is complete now; often empty.
    public mutating func append(_ token: Int32) -> String {
        pending += tokenizer.bytes(of: token)
        let complete = pending.count - Self.openEnd(of: pending)
        defer { pending.removeFirst(complete) }
        return String(decoding: pending[..<complete], as: UTF8.self)
    }

    /// Ends the text.
    /// - Returns: U+FFFD when a character was left incomplete, else nothing.
    public mutating func finish() -> String {
        defer { pending = [] }
        return String(decoding: pending, as: UTF8.self)
    }

    /// Length of the end that more bytes could turn into a character.
    private static func openEnd(of bytes: [UInt8]) -> Int {
        bytes.withUnsafeBytes { bytes in
            for length in stride(from: min(3, bytes.count), through: 1, by: -1)
            where UTF8Sequence(bytes, at: bytes.count - length) == .open(length) {
                return length
            }
            return 0
        }
    }
}
