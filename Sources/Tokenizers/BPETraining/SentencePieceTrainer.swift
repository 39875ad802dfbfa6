import GDNFormats
import GDNTensor

/// Trains a SentencePiece BPE model with byte fallback, in the manner of Llama's.
///
/// Text stays as it is; each line is a text with a space before it; spaces stand before words, runs of spaces may be
/// pieces; digits stay single; no piece mixes scripts. Of equally frequent pieces the shorter goes first, then the one
/// whose bytes are smaller. The result does not depend on the number of threads.
public struct SentencePieceTrainer: Sendable {
    /// Number of pieces in all: unknown, begin and end of a document, special ones, 256 bytes, merges and characters.
    public var vocabularySize: Int
    /// Texts of control pieces, behind `<unk>`, `<s>` and `</s>`.
    public var specialTokens: [String] = []
    /// Share of all characters that get pieces, the most frequent first; the others become bytes.
    public var characterCoverage = 0.9995
    /// Pieces that occur less often are not made.
    public var minimumFrequency = 1
    /// Most characters in a piece.
    public var longestPiece = 16
    /// At most this many threads.
    public var threads = 1

    /// A trainer.
    public init(vocabularySize: Int) { self.vocabularySize = vocabularySize }

    /// Learns from text files.
    /// - Parameters:
    ///   - paths: files of text; bytes that are no UTF-8 become U+FFFD
    ///   - progress: called now and then; false stops
    /// - Returns: the `.model` file, or nil when it was stopped
    /// - Throws: `FormatError` when a file cannot be read or the settings do not fit.
    public func train(
        on paths: [String], progress: @escaping @Sendable (TokenizerTrainingProgress) -> Bool = { _ in true }
    ) throws -> [UInt8]? {
        var model = try emptyModel()
        let text = try TrainingText(paths)
        let counts = text.countWords(threads: threads) {
            progress(.counting(bytes: $0, of: text.bytes))
        } split: { bytes, body in
            Self.eachWord(bytes, body)
        }
        guard let counts else { return nil }
        let characters = frequentCharacters(counts)
        let merges = vocabularySize - model.pieces.count - characters.count
        guard merges >= 0 else {
            throw FormatError(
                file: "", part: "vocabulary size",
                rule:
                    "\(vocabularySize) is less than \(model.pieces.count) fixed pieces and \(characters.count) characters",
                advice: "choose a larger one, or a smaller character coverage")
        }
        var rules = PieceRules(characters: characters, merges: merges, longestPiece: longestPiece)
        var (symbols, lengths, frequencies): ([Int32], [Int32], [Int]) = ([], [], [])
        counts.counts.each { word, length, count in
            let before = symbols.count
            Self.eachCharacter(word, length) { code, _ in symbols.append(rules.symbol(ofCharacter: code)) }
            lengths.append(Int32(symbols.count - before))
            frequencies.append(count)
        }
        var merger = PairMerger(symbols: symbols, lengths: lengths, counts: frequencies)
        let learnt = merger.learn(&rules, minimum: minimumFrequency) { progress(.merging($0, of: merges)) }
        guard learnt != nil else { return nil }
        let pieces = rules.texts[characters.count...] + rules.texts[..<characters.count]
        for (number, piece) in pieces.enumerated() {
            model.pieces.append(SentencePieceModel.Piece(text: piece, score: -Float(number), type: .normal))
        }
        return model.fileContent
    }

    private func emptyModel() throws -> SentencePieceModel {
        var model = SentencePieceModel(kind: .pairs)
        model.hasByteFallback = true
        model.normalization.name = Array("identity".utf8)
        model.normalization.removesExtraWhitespace = false
        model.pieces = [SentencePieceModel.Piece(text: Array("<unk>".utf8), score: 0, type: .unknown)]
        let control = [model.beginName, model.endName] + specialTokens.map { Array($0.utf8) }
        model.pieces += control.map { SentencePieceModel.Piece(text: $0, score: 0, type: .control) }
        model.pieces += (0...255).map {
            SentencePieceModel.Piece(text: SentencePieceModel.piece(ofByte: UInt8($0)), score: 0, type: .byte)
        }
        guard Set(model.pieces.map(\.text)).count == model.pieces.count, !specialTokens.contains("") else {
            throw FormatError(
                file: "", part: "special tokens",
                rule: "must be different, not empty, and neither <unk>, <s>, </s> nor bytes",
                advice: "change \(specialTokens)")
        }
        return model
    }

    /// The characters that together make up the share wanted, the most frequent first. White space other than spaces
    /// and other control characters never become pieces.
    private func frequentCharacters(_ counts: WordCounts.Box) -> [(code: UInt32, text: [UInt8])] {
        var frequencies: [UInt32: Int] = [:]
        counts.counts.each { word, length, count in
            Self.eachCharacter(word, length) { code, _ in
                if code >= 0x20, code != 0x7f { frequencies[code, default: 0] += count }
            }
        }
        let all = Double(frequencies.values.reduce(0, +))
        var (sum, result): (Int, [(code: UInt32, text: [UInt8])]) = (0, [])
        for (code, count) in frequencies.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            if Double(sum) / all >= characterCoverage { break }
            sum += count
            guard let scalar = Unicode.Scalar(code) else { continue }
            result.append((code, Array(String(Character(scalar)).utf8)))
        }
        return result
    }

    /// Cuts lines into words, each with the spaces before it; the first word of a line has one more.
    private static func eachWord(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        var first: [UInt8] = []
        while start < bytes.count {
            var end = start
            while end < bytes.count, bytes[end] != 0x0a { end += 1 }
            let next = end + 1
            if end > start, bytes[end - 1] == 0x0d { end -= 1 }
            var index = start
            while index < end {
                let word = index
                while index < end, bytes[index] == 0x20 { index += 1 }
                while index < end, bytes[index] != 0x20 { index += 1 }
                if word == start {
                    first.removeAll(keepingCapacity: true)
                    first.append(0x20)
                    first += bytes[word..<index]
                    first.withUnsafeBytes(body)
                } else {
                    body(UnsafeRawBufferPointer(rebasing: bytes[word..<index]))
                }
            }
            start = next
        }
    }

    /// The characters of a word, with U+2581 for spaces.
    @inline(__always)
    private static func eachCharacter(_ word: UnsafePointer<UInt8>, _ length: Int, _ body: (UInt32, Int) -> Void) {
        let text = CharacterScanner(word, length)
        var index = 0
        while index < length {
            let (code, next) = word[index] < 0x80 ? (UInt32(word[index]), index + 1) : text.scalar(index)
            body(code == 0x20 ? PieceRules.space : code, next - index)
            index = next
        }
    }
}
