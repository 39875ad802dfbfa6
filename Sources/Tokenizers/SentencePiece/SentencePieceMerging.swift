/// Cuts uniform text by merging neighbours, the best score first and among equal ones the leftmost (BPE as SentencePiece
/// does it).
///
/// Exactness before speed: the text is cut into words only where no piece has the two characters beside each other, so
/// that no merge is lost; pieces defined by the user are cut out first, as they never merge. Words are remembered with
/// their tokens. A model with unused pieces, whose taking apart depends on the whole text, is merged as a whole.
struct SentencePieceMerging: Sendable {
    private let symbols: SentencePieceSymbols
    private let userDefined: ByteTrie?
    private let beginsUserDefined: [Bool]
    private let unknown: Int32
    /// By byte; empty without byte fallback.
    private let byteTokens: [Int32]
    private let hasUnused: Bool

    /// Working memory of one thread.
    struct Scratch: ~Copyable {
        var cache = WordCache()
        var symbols: [Int32] = []
        var merged: [Int32] = []
        var ranks: [UInt32] = []
        var tokens: [Int32] = []
        var heap = MergeHeap()
    }

    init(_ model: SentencePieceModel, userDefined: ByteTrie?, unknown: Int32, byteTokens: [Int32]) {
        symbols = SentencePieceSymbols(model)
        self.userDefined = userDefined
        self.unknown = unknown
        self.byteTokens = byteTokens
        hasUnused = model.pieces.contains { $0.type == .unused }
        var begins = [Bool](repeating: false, count: 256)
        for piece in model.pieces where piece.type == .userDefined { begins[Int(piece.text[0])] = true }
        beginsUserDefined = begins
    }

    /// Appends the tokens of a text.
    func encode(_ text: borrowing ByteBuffer, _ scratch: inout Scratch, into output: inout TokenBuffer) {
        let (base, count) = (UnsafePointer(text.base), text.count)
        if hasUnused, count > 0 {
            scratch.tokens.removeAll(keepingCapacity: true)
            mergeLong(base, count, &scratch)
            scratch.tokens.withUnsafeBufferPointer { output.append($0) }
            return
        }
        var start = 0
        while start < count {
            if let match = userDefinedPiece(base, start, count) {
                output.append(match.value)
                start += match.length
                continue
            }
            let end = endOfWord(base, start, count)
            encodeWord(base + start, end - start, &scratch, into: &output)
            start = end
        }
    }

    @inline(__always)
    private func userDefinedPiece(
        _ text: UnsafePointer<UInt8>, _ index: Int, _ count: Int
    ) -> (length: Int, value: Int32)? {
        guard let userDefined, beginsUserDefined[Int(text[index])] else { return nil }
        return userDefined.longest(UnsafeRawBufferPointer(start: text + index, count: count - index))
    }

    /// The first place behind `start` that no merge crosses.
    @inline(__always)
    private func endOfWord(_ text: UnsafePointer<UInt8>, _ start: Int, _ count: Int) -> Int {
        var end = start + min(SentencePieceSymbols.length(text[start]), count - start)
        var left = SentencePieceSymbols.code(text + start, end - start)
        while end < count {
            let length = min(SentencePieceSymbols.length(text[end]), count - end)
            let right = SentencePieceSymbols.code(text + end, length)
            guard symbols.areNeighbours(left, right), userDefinedPiece(text, end, count) == nil else { return end }
            left = right
            end += length
        }
        return end
    }

    private func encodeWord(
        _ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch, into output: inout TokenBuffer
    ) {
        if count == 1 || count == SentencePieceSymbols.length(word[0]) {
            scratch.tokens.removeAll(keepingCapacity: true)
            let symbol = symbols.symbol(SentencePieceSymbols.code(word, count))
            if symbol >= 0, symbols.tokens[Int(symbol)] >= 0, symbols.tokens[Int(symbol)] != unknown {
                output.append(symbols.tokens[Int(symbol)])
                return
            }
            append(symbol, word, count, &scratch.tokens)
            appendWord(scratch.tokens, into: &output)
            return
        }
        guard count <= WordCache.longestWord else {
            scratch.tokens.removeAll(keepingCapacity: true)
            mergeLong(word, count, &scratch)
            appendWord(scratch.tokens, into: &output)
            return
        }
        let hash = WordCache.hash(word, count)
        if let tokens = scratch.cache.tokens(of: word, count, hash) {
            output.append(word: tokens, unknown: byteTokens.isEmpty ? unknown : -1)
            return
        }
        scratch.tokens.removeAll(keepingCapacity: true)
        mergeShort(word, count, &scratch)
        scratch.tokens.withUnsafeBufferPointer { scratch.cache.keep(word, count, hash, $0) }
        appendWord(scratch.tokens, into: &output)
    }

    private func appendWord(_ tokens: [Int32], into output: inout TokenBuffer) {
        tokens.withUnsafeBufferPointer { output.append(word: $0, unknown: byteTokens.isEmpty ? unknown : -1) }
    }

    /// Appends a symbol's token, or what stands for an unknown character: its bytes, or the unknown token once for a run.
    private func append(_ symbol: Int32, _ text: UnsafePointer<UInt8>, _ count: Int, _ tokens: inout [Int32]) {
        let token = symbol < 0 ? -1 : symbols.tokens[Int(symbol)]
        if token >= 0, token != unknown {
            tokens.append(token)
        } else if byteTokens.isEmpty {
            if tokens.last != unknown { tokens.append(unknown) }
        } else {
            for index in 0..<count { tokens.append(byteTokens[Int(text[index])]) }
        }
    }

    /// Merges a word of a few symbols: looks at all neighbours for each merge.
    private func mergeShort(_ word: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch) {
        withUnsafeTemporaryAllocation(of: ShortSymbol.self, capacity: WordCache.longestWord) { parts in
            var (length, index) = (0, 0)
            while index < count {
                let size = min(SentencePieceSymbols.length(word[index]), count - index)
                let symbol = symbols.symbol(SentencePieceSymbols.code(word + index, size))
                parts.initializeElement(
                    at: length, to: ShortSymbol(symbol: symbol, merged: -1, rank: .max, start: UInt32(index)))
                index += size
                length += 1
            }
            for index in 0..<length - 1 { updateMerge(index, parts) }
            while true {
                var (best, rank) = (-1, UInt32.max)
                for index in 0..<length - 1 where parts[index].rank < rank { (best, rank) = (index, parts[index].rank) }
                guard best >= 0 else { break }
                parts[best].symbol = parts[best].merged
                length -= 1
                for index in best + 1..<max(length, best + 1) { parts[index] = parts[index + 1] }
                if best + 1 < length { updateMerge(best, parts) } else { parts[best].rank = .max }
                if best > 0 { updateMerge(best - 1, parts) }
            }
            for index in 0..<length {
                let start = Int(parts[index].start)
                let end = index + 1 < length ? Int(parts[index + 1].start) : count
                append(parts[index].symbol, word + start, end - start, &scratch.tokens)
            }
        }
    }

    private struct ShortSymbol {
        var symbol: Int32
        /// What it merges to with the next one, and that merge's rank.
        var merged: Int32
        var rank: UInt32
        var start: UInt32
    }

    @inline(__always)
    private func updateMerge(_ index: Int, _ parts: UnsafeMutableBufferPointer<ShortSymbol>) {
        if let merge = symbols.merge(parts[index].symbol, parts[index + 1].symbol) {
            (parts[index].merged, parts[index].rank) = (merge.symbol, merge.rank)
        } else {
            parts[index].rank = .max
        }
    }

    /// Merges any text with a heap of merges; takes unused pieces apart.
    private func mergeLong(_ text: UnsafePointer<UInt8>, _ count: Int, _ scratch: inout Scratch) {
        scratch.heap.removeAll()
        var index = 0
        while index < count {
            if let match = userDefinedPiece(text, index, count) {
                scratch.heap.append(match.value, start: index, isFrozen: true)
                index += match.length
            } else {
                let size = min(SentencePieceSymbols.length(text[index]), count - index)
                let symbol = symbols.symbol(SentencePieceSymbols.code(text + index, size))
                scratch.heap.append(symbol, start: index, isFrozen: false)
                index += size
            }
        }
        let apart = scratch.heap.mergeAll(symbols, end: count)
        var part = 0
        while part >= 0 {
            let range = scratch.heap.range(part, end: count)
            appendApart(
                scratch.heap.symbols[part], text + range.lowerBound, range.count, apart, &scratch.tokens)
            part = Int(scratch.heap.next[part])
        }
    }

    /// Appends a symbol, or in place of an unused one the two that it was merged from.
    private func appendApart(
        _ symbol: Int32, _ text: UnsafePointer<UInt8>, _ count: Int, _ apart: [Int32: MergeHeap.Parts],
        _ tokens: inout [Int32]
    ) {
        guard symbol >= 0, symbols.isUnused[Int(symbol)], let parts = apart[symbol] else {
            append(symbol, text, count, &tokens)
            return
        }
        appendApart(parts.left, text, parts.leftLength, apart, &tokens)
        appendApart(parts.right, text + parts.leftLength, count - parts.leftLength, apart, &tokens)
    }
}
