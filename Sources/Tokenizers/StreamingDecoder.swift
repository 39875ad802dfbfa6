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

    /// Length of the longest end that more bytes could turn into a character (Unicode standard, table 3-7).
    private static func openEnd(of bytes: [UInt8]) -> Int {
        for length in stride(from: min(3, bytes.count), through: 1, by: -1) {
            let end = bytes.suffix(length)
            if isOpen(end.first ?? 0, Array(end.dropFirst())) { return length }
        }
        return 0
    }

    private static func isOpen(_ lead: UInt8, _ rest: [UInt8]) -> Bool {
        let second: ClosedRange<UInt8>
        let count: Int
        switch lead {
        case 0xc2...0xdf: (second, count) = (0x80...0xbf, 1)
        case 0xe0: (second, count) = (0xa0...0xbf, 2)
        case 0xed: (second, count) = (0x80...0x9f, 2)
        case 0xe1...0xef: (second, count) = (0x80...0xbf, 2)
        case 0xf0: (second, count) = (0x90...0xbf, 3)
        case 0xf1...0xf3: (second, count) = (0x80...0xbf, 3)
        case 0xf4: (second, count) = (0x80...0x8f, 3)
        default: return false
        }
        guard rest.count < count else { return false }
        return rest.prefix(1).allSatisfy { second ~= $0 } && rest.dropFirst().allSatisfy { 0x80...0xbf ~= $0 }
    }
}
