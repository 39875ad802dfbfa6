/// The symbols that merging works with: the pieces of text, and the characters in them that are no pieces.
///
/// Knows which two neighbours make a piece, and which characters never stand beside each other inside a piece: between
/// those a text can be cut before merging, because no merge crosses there.
struct SentencePieceSymbols: Sendable {
    /// Two neighbours that make a piece.
    struct Merge {
        /// The symbol they make.
        let symbol: Int32
        /// The place of its score among all scores, 0 for the best; equal scores have the same.
        let rank: UInt32
    }

    /// By symbol: the token, or -1 for a character that is no piece.
    private(set) var tokens: [Int32]
    /// By symbol: whether it is taken apart again.
    private(set) var isUnused: [Bool]
    private var characters = IntegerTable(capacity: 1 << 10)
    private var asciiSymbols = [Int32](repeating: -1, count: 128)
    private var merges: IntegerTable
    private var asciiNeighbours = [UInt64](repeating: 0, count: 256)
    private var neighbours = IntegerTable(capacity: 1 << 12)

    /// Finds what the pieces of a model merge to.
    init(_ model: SentencePieceModel) {
        var reserved: [[UInt8]: Int32] = [:]
        var pieces: [(key: [UInt8], value: Int32)] = []
        for (token, piece) in model.pieces.enumerated() {
            switch piece.type {
            case .normal, .userDefined, .unused: pieces.append((piece.text, Int32(token)))
            case .unknown, .control, .byte: reserved[piece.text] = Int32(token)
            }
        }
        tokens = model.pieces.indices.map { Int32($0) }
        isUnused = model.pieces.map { $0.type == .unused }
        for (text, token) in pieces {
            if let other = reserved[text] { tokens[Int(token)] = other }
        }
        merges = IntegerTable(capacity: 4 * pieces.count)
        addCharacters(of: pieces)
        addMerges(of: pieces, scores: model.pieces.map(\.score))
    }

    /// How many bytes the character has that begins with this one.
    @inline(__always)
    static func length(_ first: UInt8) -> Int {
        first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    }

    /// A character's bytes as a number.
    @inline(__always)
    static func code(_ text: UnsafePointer<UInt8>, _ length: Int) -> UInt32 {
        switch length {
        case 1: return UInt32(text[0])
        case 2: return UInt32(text[0]) << 8 | UInt32(text[1])
        case 3:
            return UInt32(text[0]) << 16 | UInt32(text[1]) << 8 | UInt32(text[2])
        default:
            return UInt32(text[0]) << 24 | UInt32(text[1]) << 16 | UInt32(text[2]) << 8 | UInt32(text[3])
        }
    }

    /// The symbol of a character; -1 if no piece has it.
    @inline(__always)
    func symbol(_ code: UInt32) -> Int32 {
        if code < 0x80 { return asciiSymbols.withUnsafeBufferPointer { $0[Int(code)] } }
        return characters.value(UInt64(code)).map { Int32(truncatingIfNeeded: $0) } ?? -1
    }

    /// What two neighbours merge to.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> Merge? {
        guard left >= 0, right >= 0, let value = merges.value(UInt64(left) << 32 | UInt64(right)) else { return nil }
        return Merge(symbol: Int32(truncatingIfNeeded: value & 0xffff_ffff), rank: UInt32(value >> 32))
    }

    /// Whether two characters stand beside each other inside some piece.
    @inline(__always)
    func areNeighbours(_ left: UInt32, _ right: UInt32) -> Bool {
        let (left, right) = (Self.short(left), Self.short(right))
        if left | right < 0x80 {
            return asciiNeighbours.withUnsafeBufferPointer {
                $0[Int(left << 1 | right >> 6)] >> UInt64(right & 63) & 1 != 0
            }
        }
        return neighbours.value(UInt64(left) << 32 | UInt64(right)) != nil
    }

    /// Among neighbours U+2581 counts as a space, for the sake of the small table.
    @inline(__always)
    private static func short(_ code: UInt32) -> UInt32 { code == 0xe2_9681 ? 0x20 : code }

    private mutating func addCharacters(of pieces: [(key: [UInt8], value: Int32)]) {
        for (text, token) in pieces where Self.isCharacter(text) { setSymbol(of: text, to: token) }
        for (text, _) in pieces {
            var previous: UInt32?
            Self.eachCharacter(text) { range, code in
                if symbol(code) < 0 {
                    setSymbol(of: Array(text[range]), to: Int32(tokens.count))
                    tokens.append(-1)
                    isUnused.append(false)
                }
                if let previous { setNeighbours(previous, code) }
                previous = code
            }
        }
    }

    private mutating func setSymbol(of text: [UInt8], to symbol: Int32) {
        Self.eachCharacter(text) { _, code in
            if code < 0x80 { asciiSymbols[Int(code)] = symbol }
            characters.set(UInt64(code), UInt64(symbol))
        }
    }

    private mutating func setNeighbours(_ left: UInt32, _ right: UInt32) {
        let (left, right) = (Self.short(left), Self.short(right))
        if left | right < 0x80 {
            asciiNeighbours[Int(left << 1 | right >> 6)] |= 1 << UInt64(right & 63)
        } else {
            neighbours.set(UInt64(left) << 32 | UInt64(right), 1)
        }
    }

    /// Every way to cut a piece into two symbols is a merge.
    private mutating func addMerges(of pieces: [(key: [UInt8], value: Int32)], scores: [Float]) {
        let best = Set(pieces.map { scores[Int($0.value)] }).sorted(by: >)
        let ranks = Dictionary(uniqueKeysWithValues: best.enumerated().map { ($1, UInt64($0)) })
        let strings = StringTable(pieces)
        for (text, token) in pieces where !Self.isCharacter(text) {
            let rank = ranks[scores[Int(token)]] ?? 0
            let sums = StringTable.Sums(text)
            Self.eachCharacter(text) { range, _ in
                let cut = range.lowerBound
                guard cut > 0 else { return }
                guard let left = part(0..<cut, of: text, strings, sums),
                    let right = part(cut..<text.count, of: text, strings, sums)
                else { return }
                merges.set(UInt64(left) << 32 | UInt64(right), rank << 32 | UInt64(token))
            }
        }
    }

    private func part(
        _ range: Range<Int>, of text: [UInt8], _ strings: StringTable, _ sums: StringTable.Sums
    ) -> Int32? {
        if Self.length(text[range.lowerBound]) >= range.count {
            return text.withUnsafeBufferPointer { text in
                text.baseAddress.map { symbol(Self.code($0 + range.lowerBound, range.count)) }
            }
        }
        return strings.value(of: text, range, sums)
    }

    private static func isCharacter(_ text: [UInt8]) -> Bool { length(text[0]) >= text.count }

    private static func eachCharacter(_ text: [UInt8], _ body: (Range<Int>, UInt32) -> Void) {
        text.withUnsafeBufferPointer { bytes in
            guard let base = bytes.baseAddress else { return }
            var index = 0
            while index < bytes.count {
                let length = min(Self.length(bytes[index]), bytes.count - index)
                body(index..<index + length, code(base + index, length))
                index += length
            }
        }
    }
}
