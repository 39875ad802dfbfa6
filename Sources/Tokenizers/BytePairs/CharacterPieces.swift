/// What a vocabulary of characters and their merges needs beside the merges themselves (tokenizer.json in the manner of
/// Llama-2 and Mistral): the tokens of bytes for characters without one, and where a text may be cut before merging.
///
/// No pre-tokenizer cuts such a text. It is cut all the same, between characters that no merge has beside each other: none
/// can reach across, so that the tokens are those of the whole, and words are short and can be remembered.
final class CharacterPieces: Sendable {
    /// The token of each byte.
    let byteTokens: [Int32]
    /// The space of these vocabularies, U+2581.
    static let space: [UInt8] = [0xe2, 0x96, 0x81]

    /// Characters beside each other in what a merge makes; nil where a text must stay whole.
    private let neighbours: PairTable?

    /// - Parameters:
    ///   - byteTokens: 256 of them
    ///   - staysWhole: a text is never cut
    ///   - merged: calls its argument with what each merge makes
    init(byteTokens: [Int32], staysWhole: Bool, merged: ((UnsafeRawBufferPointer) -> Void) -> Void) {
        self.byteTokens = byteTokens
        guard !staysWhole else {
            neighbours = nil
            return
        }
        var pairs = Set<UInt64>()
        merged { bytes in
            var (index, before) = (0, Int32(-1))
            while index < bytes.count {
                let length = Self.length(bytes[index], bytes.count - index)
                let code = Self.code(bytes, index, length)
                if before >= 0 { pairs.insert(UInt64(before) << 32 | UInt64(code)) }
                (before, index) = (code, index + length)
            }
        }
        let table = PairTable(capacity: pairs.count)
        for pair in pairs {
            table.insert(Int32(pair >> 32), Int32(truncatingIfNeeded: pair), rank: 0, token: 0)
        }
        neighbours = table
    }

    /// Calls `body` with the range of each word.
    func split(_ text: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        guard !text.isEmpty else { return }
        var (start, index) = (0, Self.length(text[0], text.count))
        var before = Self.code(text, 0, index)
        while index < text.count {
            let length = Self.length(text[index], text.count - index)
            let code = Self.code(text, index, length)
            let mayMerge = neighbours.map { $0.merge(before, code) != PairTable.none } ?? true
            if !mayMerge {
                body(start..<index)
                start = index
            }
            (before, index) = (code, index + length)
        }
        body(start..<text.count)
    }

    /// Bytes of the character that begins with this one, of text that is UTF-8.
    @inline(__always)
    static func length(_ lead: UInt8, _ rest: Int) -> Int {
        min(lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4, rest)
    }

    /// A number for a character: its code point.
    @inline(__always)
    private static func code(_ text: UnsafeRawBufferPointer, _ index: Int, _ length: Int) -> Int32 {
        let lead = Int32(text[index])
        if length == 1 { return lead }
        var code = lead & (length == 2 ? 0x1f : length == 3 ? 0x0f : 0x07)
        for offset in 1..<length { code = code << 6 | Int32(text[index + offset] & 0x3f) }
        return code
    }
}
