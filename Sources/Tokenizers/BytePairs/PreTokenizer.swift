/// Cuts text into words in one or several stages; a later stage sees each piece of an earlier one as a text of its own.
package struct PreTokenizer: Sendable, Equatable {
    /// One way to cut.
    package enum Stage: Sendable, Equatable {
        /// By the regular expression of a known tokenizer.
        case words(WordPattern)
        /// Numbers apart from all else: each digit, or runs of them.
        case digits(each: Bool)
    }

    /// What is done, in order; with none every text is one word.
    package var stages: [Stage]
    /// Whether a text that does not begin with a space gets one.
    package var addsPrefixSpace: Bool

    /// A pre-tokenizer of these stages.
    package init(_ stages: [Stage], addsPrefixSpace: Bool = false) {
        (self.stages, self.addsPrefixSpace) = (stages, addsPrefixSpace)
    }

    /// Whether a newline ends a word, as it does in all patterns.
    var cutsAtNewlines: Bool {
        stages.contains { if case .words = $0 { true } else { false } }
    }

    /// Calls `body` with the range of each word of a text, in order. The prefix space is not dealt with here.
    /// - Parameter bytes: UTF-8
    @inline(__always)
    package func split(_ bytes: UnsafeRawBufferPointer, _ body: (Range<Int>) -> Void) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        if stages.count == 1, case .words(let pattern) = stages[0] {
            let scanner = WordScanner(base, bytes.count, pattern)
            var index = 0
            while index < bytes.count {
                let end = scanner.next(index)
                body(index..<end)
                index = end
            }
        } else {
            split(base, 0..<bytes.count, stages[...], body)
        }
    }

    private func split(
        _ base: UnsafePointer<UInt8>, _ range: Range<Int>, _ stages: ArraySlice<Stage>, _ body: (Range<Int>) -> Void
    ) {
        guard let stage = stages.first else { return body(range) }
        var index = range.lowerBound
        while index < range.upperBound {
            let end: Int
            switch stage {
            case .words(let pattern): end = WordScanner(base, range.upperBound, pattern).next(index)
            case .digits(let each): end = Self.digits(base, index, range.upperBound, each: each)
            }
            split(base, index..<end, stages.dropFirst(), body)
            index = end
        }
    }

    private static func digits(_ base: UnsafePointer<UInt8>, _ start: Int, _ end: Int, each: Bool) -> Int {
        let text = CharacterScanner(base, end)
        let (kind, next) = text.look(start)
        let number = CharacterTable.Class.number
        if kind & number == 0 { return text.run(not: number, from: next) }
        return each ? next : text.run(number, from: next)
    }
}
