/// Makes text uniform the way a SentencePiece model wants it.
///
/// Replaces characters by the model's rules (the longest that fits) and bytes that are no UTF-8 by U+FFFD each, removes
/// or keeps extra spaces, puts the dummy space, and writes spaces as U+2581. Pieces defined by the user stay as they are.
struct SentencePieceNormalizer: Sendable {
    private let rules: SentencePieceModel.Normalization
    private let whitespaceIsSuffix: Bool
    private let map: CharacterMap?
    private let userDefined: ByteTrie?
    /// Bytes that stand for themselves unless a byte from 0x80 on follows.
    private let isPlain: [Bool]

    /// - Throws: `FormatError` when the rules are damaged.
    init(_ model: SentencePieceModel, userDefined: ByteTrie?, file: String) throws {
        rules = model.normalization
        whitespaceIsSuffix = model.whitespaceIsSuffix
        self.userDefined = userDefined
        map = rules.characterMap.isEmpty ? nil : try CharacterMap(rules.characterMap, file: file)
        var plain = map?.plainBytes ?? (0..<256).map { $0 < 0x80 }
        if userDefined != nil {
            for piece in model.pieces where piece.type == .userDefined { plain[Int(piece.text[0])] = false }
        }
        isPlain = plain
    }

    /// What stands at a place of a text.
    private enum Prefix {
        case asItIs(Int)
        case replaced(Int, by: Range<Int>)
        case invalid
    }

    /// Writes the uniform text.
    func normalize(_ text: UnsafeRawBufferPointer, into output: inout ByteBuffer) {
        output.removeAll()
        var index = rules.removesExtraWhitespace ? startOfText(text) : 0
        guard index < text.count else { return }
        output.reserve(text.count + text.count / 2 + 16)
        if rules.addsDummyPrefix, !whitespaceIsSuffix { appendSpace(&output) }
        var afterSpace = rules.removesExtraWhitespace
        isPlain.withUnsafeBufferPointer { isPlain in
            while index < text.count {
                let byte = text[index]
                guard isPlain[Int(byte)], index + 1 == text.count || map == nil || text[index + 1] < 0x80 else {
                    index += appendPrefix(text, at: index, afterSpace: &afterSpace, &output)
                    continue
                }
                index += 1
                output.reserve(3)
                if byte != 0x20 {
                    output.push(byte)
                    afterSpace = false
                } else if !afterSpace {
                    appendSpace(&output)
                    afterSpace = rules.removesExtraWhitespace
                }
            }
        }
        if rules.removesExtraWhitespace { removeSpacesAtEnd(&output) }
        if rules.addsDummyPrefix, whitespaceIsSuffix { appendSpace(&output) }
    }

    /// The first place that is not replaced by one space.
    private func startOfText(_ text: UnsafeRawBufferPointer) -> Int {
        var index = 0
        while index < text.count {
            switch prefix(of: text, at: index) {
            case .asItIs(1) where text[index] == 0x20: index += 1
            case .replaced(let length, let range) where isOneSpace(range): index += length
            default: return index
            }
        }
        return index
    }

    private func isOneSpace(_ range: Range<Int>) -> Bool {
        range.count == 1 && map?.withReplacement(range) { $0[0] == 0x20 } == true
    }

    private func prefix(of text: UnsafeRawBufferPointer, at index: Int) -> Prefix {
        let rest = UnsafeRawBufferPointer(rebasing: text[index...])
        if let match = userDefined?.longest(rest) { return .asItIs(match.length) }
        if let match = map?.longest(rest) { return .replaced(match.length, by: match.replacement) }
        if case .valid(let length) = UTF8Sequence(text, at: index) { return .asItIs(length) }
        return .invalid
    }

    private func appendPrefix(
        _ text: UnsafeRawBufferPointer, at index: Int, afterSpace: inout Bool, _ output: inout ByteBuffer
    ) -> Int {
        switch prefix(of: text, at: index) {
        case .asItIs(let length):
            append(UnsafeRawBufferPointer(rebasing: text[index..<index + length]), afterSpace: &afterSpace, &output)
            return length
        case .replaced(let length, let range):
            guard let map else { return length }
            output.reserve(3 * range.count)
            map.withReplacement(range) { bytes in append(bytes, afterSpace: &afterSpace, &output) }
            return length
        case .invalid:
            output.reserve(3)
            output.push(0xef)
            output.push(0xbf)
            output.push(0xbd)
            afterSpace = false
            return 1
        }
    }

    private func append(_ bytes: UnsafeRawBufferPointer, afterSpace: inout Bool, _ output: inout ByteBuffer) {
        output.reserve(3 * bytes.count)
        var start = 0
        if afterSpace {
            while start < bytes.count, bytes[start] == 0x20 { start += 1 }
        }
        for byte in bytes[start...] {
            if byte == 0x20 { appendSpace(&output) } else { output.push(byte) }
        }
        if start < bytes.count { afterSpace = bytes[bytes.count - 1] == 0x20 }
        if !rules.removesExtraWhitespace { afterSpace = false }
    }

    @inline(__always)
    private func appendSpace(_ output: inout ByteBuffer) {
        output.reserve(3)
        if rules.escapesWhitespace {
            output.push(0xe2)
            output.push(0x96)
            output.push(0x81)
        } else {
            output.push(0x20)
        }
    }

    private func removeSpacesAtEnd(_ output: inout ByteBuffer) {
        let space = rules.escapesWhitespace ? SentencePieceModel.space : [0x20]
        while output.count >= space.count, output.bytes.suffix(space.count).elementsEqual(space) {
            output.removeLast(space.count)
        }
    }
}
