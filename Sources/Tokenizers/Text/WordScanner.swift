/// Cuts text into words as the regular expression of a `WordPattern` would, match by match.
///
/// Every character belongs to exactly one word. The comments name the alternatives of the expressions in their order.
package struct WordScanner {
    private typealias Class = CharacterTable.Class

    private let text: CharacterScanner
    private let pattern: WordPattern

    /// Scans UTF-8 that outlives this value.
    init(_ base: UnsafePointer<UInt8>, _ end: Int, _ pattern: WordPattern) {
        text = CharacterScanner(base, end)
        self.pattern = pattern
    }

    /// Calls `body` with the range of each word, in order.
    /// - Parameter bytes: UTF-8
    @inline(__always)
    package static func split(
        _ bytes: UnsafeRawBufferPointer, _ pattern: WordPattern, _ body: (Range<Int>) -> Void
    ) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        let scanner = WordScanner(base, bytes.count, pattern)
        var index = 0
        while index < bytes.count {
            let end = scanner.next(index)
            body(index..<end)
            index = end
        }
    }

    /// Where the word that begins at `index` ends.
    @inline(__always)
    func next(_ index: Int) -> Int {
        pattern.isSpaced ? nextSpaced(index) : pattern.isCased ? nextCased(index) : nextPlain(index)
    }

    /// GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    private func nextSpaced(_ index: Int) -> Int {
        let lead = text.base[index]
        if lead == UInt8(ascii: "'"), let end = contraction(index, anyCase: false) { return end }
        var (kind, next) = text.look(index)
        if lead == 0x20, next < text.end {
            let (behind, end) = text.look(next)
            if behind & Class.white == 0 { (kind, next) = (behind, end) }
        }
        if kind & Class.letter != 0 { return text.run(Class.letter, from: next) }
        if kind & Class.number != 0 { return text.run(Class.number, from: next) }
        if kind & Class.white != 0 { return whiteSpace(index, splitsAtNewline: false) }
        return text.run(not: Class.letter | Class.number | Class.white, from: next)
    }

    /// Llama-3 and Qwen: `'s…|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    private func nextPlain(_ index: Int) -> Int {
        let word = pattern.word
        let (kind, next) = text.look(index)
        if kind & word != 0 { return text.run(word, from: next) }
        if text.base[index] == UInt8(ascii: "'"), let end = contraction(index, anyCase: true) { return end }
        if kind & (Class.newline | Class.number) == 0, next < text.end {
            let (behind, end) = text.look(next)
            if behind & word != 0 { return text.run(word, from: end) }
        }
        return numberOrSymbols(index, kind, next)
    }

    /// GPT-4o: `[^\r\n\p{L}\p{N}]?[upper]*[lower]+('s…)?|[^\r\n\p{L}\p{N}]?[upper]+[lower]*('s…)?|…`, where letters
    /// without case and marks count as both.
    private func nextCased(_ index: Int) -> Int {
        let both = Class.otherLetter | Class.mark
        let (kind, next) = text.look(index)
        if kind & (Class.newline | Class.number | Class.letter) == 0, next < text.end,
            text.look(next).kind & (Class.letter | Class.mark) != 0
        {
            // With the character before the word, or, being a mark and failing with it, as a word of its own.
            if let end = casedWord(next) { return behindWord(end) }
            if kind & Class.mark != 0 { return behindWord(next) }
            return behindWord(text.run(Class.upper | both, from: next))
        }
        if kind & (Class.letter | Class.mark) != 0 {
            return behindWord(casedWord(index) ?? text.run(Class.upper | both, from: index))
        }
        return numberOrSymbols(index, kind, next)
    }

    /// `[upper]*[lower]+`: the end of the longest match with as many upper ones as possible.
    private func casedWord(_ start: Int) -> Int? {
        let both = Class.otherLetter | Class.mark
        var (index, spare) = (start, -1)  // end of the last character that counts as both
        while index < text.end {
            let (kind, next) = text.look(index)
            if kind & (Class.upper | both) == 0 { break }
            if kind & both != 0 { spare = next }
            index = next
        }
        let end = text.run(Class.lower | both, from: index)
        if end > index { return end }
        return spare >= 0 ? spare : nil
    }

    private func behindWord(_ end: Int) -> Int {
        guard pattern.contractions == .behindWords, end < text.end, text.base[end] == UInt8(ascii: "'") else {
            return end
        }
        return contraction(end, anyCase: true) ?? end
    }

    /// `\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    private func numberOrSymbols(_ index: Int, _ kind: UInt8, _ next: Int) -> Int {
        var (kind, next) = (kind, next)
        if kind & Class.number != 0 {
            var count = 1
            while count < pattern.digits, next < text.end {
                let (digit, end) = text.look(next)
                if digit & Class.number == 0 { break }
                next = end
                count += 1
            }
            return next
        }
        let others = pattern.isCased ? Class.letter : pattern.word
        if text.base[index] == 0x20, next < text.end {
            let (behind, end) = text.look(next)
            if behind & (others | Class.number | Class.white) == 0 { (kind, next) = (behind, end) }
        }
        if kind & Class.white != 0 { return whiteSpace(index, splitsAtNewline: true) }
        next = text.run(not: others | Class.number | Class.white, from: next)
        guard pattern.tail != .nothing else { return next }
        while next < text.end {
            let byte = text.base[next]
            if byte != 0x0a && byte != 0x0d
                && !(byte == UInt8(ascii: "/") && pattern.tail == .newlinesAndSlashes)
            {
                break
            }
            next += 1
        }
        return next
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`, the first only with `splitsAtNewline`: up to the last newline of the run; else all
    /// but its last character where something follows, which that character goes with.
    private func whiteSpace(_ start: Int, splitsAtNewline: Bool) -> Int {
        var (index, last, newline) = (start, start, -1)
        while index < text.end {
            let (kind, next) = text.look(index)
            if kind & Class.white == 0 { break }
            if kind & Class.newline != 0 { newline = next }
            last = index
            index = next
        }
        if index == text.end, pattern.keepsEnd { return index }
        if splitsAtNewline, newline > 0 { return newline }
        return index < text.end && last > start ? last : index
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` at `index`, where there is an apostrophe.
    ///
    /// In any case also `'ſ`: the long s is an s to Unicode's case folding.
    private func contraction(_ index: Int, anyCase: Bool) -> Int? {
        let base = text.base
        guard index + 1 < text.end else { return nil }
        let fold: UInt8 = anyCase ? 0x20 : 0
        let first = base[index + 1]
        switch first | fold {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return index + 2
        default: break
        }
        guard index + 2 < text.end else { return nil }
        let second = base[index + 2]
        switch (first | fold, second | fold) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return index + 3
        default: return anyCase && first == 0xc5 && second == 0xbf ? index + 3 : nil
        }
    }
}
