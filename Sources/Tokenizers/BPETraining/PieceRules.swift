/// Which symbols may become a SentencePiece piece, and in what order.
struct PieceRules: PairMerger.Rules {
    /// The character that stands for a space.
    static let space: UInt32 = 0x2581
    private static let anyScript: UInt16 = .max

    /// What is known of a symbol.
    private struct Traits {
        var characters: Int
        /// Begins with the space.
        var hasSpace: Bool
        /// Is nothing but spaces.
        var isSpace: Bool
        var isDigit: Bool
        var script: UInt16
    }

    /// By symbol, its UTF-8: characters first, then merges.
    private(set) var texts: [[UInt8]]
    private var traits: [Traits] = []
    private var symbolsByCode: [UInt32: Int32] = [:]
    private var symbolsByText: [[UInt8]: Int32] = [:]
    private let most: Int
    private let longestPiece: Int

    /// - Parameters:
    ///   - characters: which have symbols, in this order
    ///   - merges: how many there are to be
    ///   - longestPiece: most characters in a piece
    init(characters: [(code: UInt32, text: [UInt8])], merges: Int, longestPiece: Int) {
        texts = characters.map(\.text)
        most = characters.count + merges
        self.longestPiece = longestPiece
        for (symbol, character) in characters.enumerated() {
            let kind = CharacterTable.shared.of(character.code)
            let isSpace = character.code == Self.space
            traits.append(
                Traits(
                    characters: 1, hasSpace: isSpace, isSpace: isSpace,
                    isDigit: kind & CharacterTable.Class.number != 0,
                    script: isSpace ? Self.anyScript : Self.script(character.code, kind)))
            symbolsByCode[character.code] = Int32(symbol)
            symbolsByText[character.text] = Int32(symbol)
        }
    }

    /// The symbol of a character; -1 for one that has none.
    func symbol(ofCharacter code: UInt32) -> Int32 { symbolsByCode[code] ?? -1 }

    var isComplete: Bool { texts.count >= most }

    /// Pieces have no space but at their beginning, unless they are nothing but spaces; digits stay single; letters of
    /// different scripts, and letters and other characters, do not mix.
    @inline(__always)
    func allows(_ left: Int32, _ right: Int32) -> Bool {
        guard left >= 0, right >= 0 else { return false }
        let (first, second) = (traits[Int(left)], traits[Int(right)])
        guard first.characters + second.characters <= longestPiece, !first.isDigit, !second.isDigit else {
            return false
        }
        if second.hasSpace { return first.isSpace && second.isSpace }
        if first.isSpace, first.characters > 1 { return false }
        return first.script == second.script || first.script == Self.anyScript || second.script == Self.anyScript
    }

    mutating func symbol(_ left: Int32, _ right: Int32) -> Int32? {
        let text = texts[Int(left)] + texts[Int(right)]
        if let symbol = symbolsByText[text] { return symbol }
        let (first, second) = (traits[Int(left)], traits[Int(right)])
        traits.append(
            Traits(
                characters: first.characters + second.characters, hasSpace: first.hasSpace,
                isSpace: first.isSpace && second.isSpace, isDigit: false,
                script: first.script == Self.anyScript ? second.script : first.script))
        let symbol = Int32(texts.count)
        texts.append(text)
        symbolsByText[text] = symbol
        return symbol
    }

    func precedes(_ first: UInt64, _ second: UInt64) -> Bool {
        let one = (Int(first >> 32), Int(first & 0xffff_ffff))
        let other = (Int(second >> 32), Int(second & 0xffff_ffff))
        let length = traits[one.0].characters + traits[one.1].characters
        let otherLength = traits[other.0].characters + traits[other.1].characters
        if length != otherLength { return length < otherLength }
        let (left, otherLeft) = (texts[one.0], texts[other.0])
        let (right, otherRight) = (texts[one.1], texts[other.1])
        let (count, otherCount) = (left.count + right.count, otherLeft.count + otherRight.count)
        for index in 0..<min(count, otherCount) {
            let byte = index < left.count ? left[index] : right[index - left.count]
            let otherByte = index < otherLeft.count ? otherLeft[index] : otherRight[index - otherLeft.count]
            if byte != otherByte { return byte < otherByte }
        }
        return count != otherCount ? count < otherCount : first < second
    }

    /// Tells scripts apart as far as pieces need it: letters by the block they are in, with Chinese characters and kana
    /// as one; 0 for all that are no letters; marks go with any script.
    private static func script(_ code: UInt32, _ kind: UInt8) -> UInt16 {
        if kind & CharacterTable.Class.mark != 0 { return anyScript }
        guard kind & CharacterTable.Class.letter != 0 else { return 0 }
        switch code {
        case ..<0x370, 0x1d00..<0x1dc0, 0x1e00..<0x1f00, 0x2c60..<0x2c80, 0xa720..<0xa800, 0xab30..<0xab70,
            0xfb00..<0xfb07, 0xff21..<0xff5b:
            return 1  // Latin
        case 0x370..<0x400, 0x1f00..<0x2000: return 2  // Greek
        case 0x400..<0x530, 0x1c80..<0x1c90, 0x2de0..<0x2e00, 0xa640..<0xa6a0: return 3  // Cyrillic
        case 0x590..<0x600, 0xfb1d..<0xfb50: return 4  // Hebrew
        case 0x600..<0x700, 0x750..<0x780, 0x870..<0x900, 0xfb50..<0xfe00, 0xfe70..<0xff00: return 5  // Arabic
        case 0x2e80..<0x3100, 0x3190..<0x31c0, 0x31f0..<0xa000, 0xf900..<0xfb00, 0xff66..<0xffa0, 0x1b000..<0x1b170,
            0x20000..<0x40000:
            return 6  // Chinese characters and kana
        case 0x1100..<0x1200, 0x3130..<0x3190, 0xa960..<0xa980, 0xac00..<0xd800, 0xffa0..<0xffe0: return 7  // Hangul
        default: return UInt16(truncatingIfNeeded: 16 + code >> 7)
        }
    }
}
