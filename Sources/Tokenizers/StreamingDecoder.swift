/// Decodes tokens as they come and never gives out a part of a character.
///
/// The pieces put together are what decoding all tokens at once gives.
public struct StreamingDecoder: Sendable {
    private let tokenizer: any Tokenizer
    private var pending: [UInt8] = []
    private var atStart: Bool

    /// A decoder at the beginning of a text.
    /// - Parameters:
    ///   - tokenizer: whose tokens
    ///   - continuing: the tokens go on with a text, e.g. a prompt: a space at their beginning is one
    public init(_ tokenizer: any Tokenizer, continuing: Bool = false) {
        self.tokenizer = tokenizer
        atStart = !continuing
    }

    /// Takes one more token.
    /// - Returns: the text that is complete now; often empty.
    public mutating func append(_ token: Int32) -> String {
        tokenizer.append(token, to: &pending, atStart: &atStart)
        let complete = pending.count - Self.openEnd(of: pending)
        defer { pending.removeFirst(complete) }
        return text(pending[..<complete])
    }

    /// Ends the text.
    /// - Returns: U+FFFD (one, or one a byte) when a character was left incomplete, else nothing.
    public mutating func finish() -> String {
        defer { pending = [] }
        return text(pending[...])
    }

    private func text(_ bytes: ArraySlice<UInt8>) -> String {
        guard tokenizer.replacesEachByte else { return String(decoding: bytes, as: UTF8.self) }
        return bytes.withUnsafeBytes {
            String(decoding: UTF8Sequence.repaired($0, eachByte: true).bytes, as: UTF8.self)
        }
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
