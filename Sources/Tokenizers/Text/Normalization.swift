/// Canonical composition (NFC) of Unicode 9.0, the version of the Python package `tokenizers`.
///
/// Unicode standard, section 3.11 and annex 15. Text is changed only around characters that are not settled (combining
/// marks, and those that quick check does not answer with yes); the rest is copied.
package struct Normalization: Sendable {
    /// The one table.
    package static let shared = Normalization()

    /// Code points that normalization may change, move or compose with what stands before them.
    let unsettled: [Int]
    private let combining: [UInt32: UInt8]
    private let parts: [UInt32: [UInt32]]
    private let compositions: [UInt64: UInt32]

    private init() {
        var combining: [UInt32: UInt8] = [:]
        var steps: [UInt32: [UInt32]] = [:]
        var compositions: [UInt64: UInt32] = [:]
        var unsettled: Set<Int> = Set(Hangul.vowels).union(Hangul.tails)

        var reader = UnicodeTableReader(UnicodeTables.combiningClasses)
        while !reader.isAtEnd {
            let (start, count, value) = (reader.gap(), reader.number(), UInt8(reader.number() & 255))
            for code in start..<start + count {
                combining[UInt32(code)] = value
                unsettled.insert(code)
            }
        }
        reader = UnicodeTableReader(UnicodeTables.decompositions)
        while !reader.isAtEnd {
            let (code, kind) = (UInt32(reader.gap()), reader.number())
            let first = UInt32(reader.number())
            let second = kind > 0 ? UInt32(reader.number()) : nil
            steps[code] = [first] + (second.map { [$0] } ?? [])
            if kind == 2, let second {
                compositions[Self.pair(first, second)] = code
                unsettled.insert(Int(second))
            } else {
                unsettled.insert(Int(code))
            }
        }
        var parts: [UInt32: [UInt32]] = [:]
        for (code, step) in steps {
            var whole = step
            while let deeper = steps[whole[0]] { whole.replaceSubrange(0..<1, with: deeper) }
            parts[code] = whole
        }
        (self.combining, self.parts, self.compositions) = (combining, parts, compositions)
        self.unsettled = unsettled.sorted()
    }

    /// Text in NFC.
    /// - Parameter bytes: UTF-8
    /// - Returns: the composed text, or nil when it is as it should be already.
    package func composed(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
        let text = CharacterScanner(base, bytes.count)
        let mask = CharacterTable.Class.unsettled
        var output: [UInt8] = []
        var (copied, settled, index) = (0, 0, 0)  // bytes taken over, the last settled character, the place
        while index < text.end {
            if base[index] < 0x80 {
                settled = index
                index &+= 1
                continue
            }
            let (kind, next) = text.look(index)
            guard kind & mask != 0 else {
                settled = index
                index = next
                continue
            }
            let end = text.run(mask, from: index)
            if copied == 0 { output.reserveCapacity(bytes.count) }
            output += bytes[copied..<settled]
            compose(text, settled..<end, into: &output)
            (copied, settled, index) = (end, end, end)
        }
        guard copied > 0 else { return nil }
        output += bytes[copied...]
        return output
    }

    /// Composes a part of a text that begins where nothing composes with what is before it.
    private func compose(_ text: CharacterScanner, _ range: Range<Int>, into output: inout [UInt8]) {
        var codes: [UInt32] = []
        var index = range.lowerBound
        while index < range.upperBound {
            if text.base[index] < 0x80 {
                codes.append(UInt32(text.base[index]))
                index += 1
            } else {
                let (code, next) = text.scalar(index)
                if let hangul = Hangul.parts(code) { codes += hangul } else { codes += parts[code] ?? [code] }
                index = next
            }
        }
        order(&codes)
        for code in compose(codes) {
            guard let scalar = Unicode.Scalar(code) else { continue }
            output.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        }
    }

    /// Canonical order: runs of combining marks by class, equal ones as they came.
    private func order(_ codes: inout [UInt32]) {
        var start = 0
        while start < codes.count {
            guard combining[codes[start]] != nil else {
                start += 1
                continue
            }
            var marks: [(order: UInt8, place: Int, code: UInt32)] = []
            var end = start
            while end < codes.count, let value = combining[codes[end]] {
                marks.append((value, end, codes[end]))
                end += 1
            }
            marks.sort { ($0.order, $0.place) < ($1.order, $1.place) }
            for (offset, mark) in marks.enumerated() { codes[start + offset] = mark.code }
            start = end
        }
    }

    /// Puts each character that no other of its class or a higher one keeps from it together with its starter.
    private func compose(_ codes: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        var starter: Int?
        var last: UInt8?  // class of what stands directly before, when that is not the starter
        for code in codes {
            let own = combining[code] ?? 0
            if let starter, last.map({ $0 != 0 && $0 < own }) ?? true {
                let first = result[starter]
                if let whole = Hangul.composed(first, code) ?? compositions[Self.pair(first, code)] {
                    result[starter] = whole
                    continue
                }
            }
            if own == 0 {
                starter = result.count
                last = nil
            } else {
                last = own
            }
            result.append(code)
        }
        return result
    }

    private static func pair(_ first: UInt32, _ second: UInt32) -> UInt64 { UInt64(first) << 32 | UInt64(second) }
}

/// Korean syllables, which decompose and compose by arithmetic (Unicode standard, section 3.12).
private enum Hangul {
    static let vowels = 0x1161..<0x1176
    static let tails = 0x11a8..<0x11c3

    static func parts(_ code: UInt32) -> [UInt32]? {
        guard (0xac00..<0xd7a4).contains(code) else { return nil }
        let index = code - 0xac00
        let two = [0x1100 + index / 588, 0x1161 + index % 588 / 28]
        return index % 28 == 0 ? two : two + [0x11a7 + index % 28]
    }

    static func composed(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (0x1100..<0x1113).contains(first), vowels.contains(Int(second)) {
            return 0xac00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
        }
        if (0xac00..<0xd7a4).contains(first), (first - 0xac00) % 28 == 0, tails.contains(Int(second)) {
            return first + second - 0x11a7
        }
        return nil
    }
}
