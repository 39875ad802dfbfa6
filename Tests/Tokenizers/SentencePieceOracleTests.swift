import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// The fast encoders against slow ones written from the definition.
@Suite struct SentencePieceOracleTests {
    /// Merges the best pair of the whole text, the leftmost of equal ones, until none is a piece.
    static func merged(_ text: String, _ scores: [String: Float]) -> [String] {
        var parts = text.unicodeScalars.map { String($0) }
        while true {
            var best: (index: Int, score: Float)?
            for index in parts.indices.dropLast() {
                guard let score = scores[parts[index] + parts[index + 1]] else { continue }
                if best == nil || score > best?.score ?? 0 { best = (index, score) }
            }
            guard let best else { return parts }
            parts[best.index] += parts.remove(at: best.index + 1)
        }
    }

    /// The sum of scores of the best way to cut a text, in Double; -infinity if there is none.
    static func bestSum(_ text: [Unicode.Scalar], _ scores: [String: Float], unknown: Float) -> Double {
        var best = [Double](repeating: -.infinity, count: text.count + 1)
        best[0] = 0
        for start in text.indices {
            var piece = ""
            for end in start..<text.count {
                piece.unicodeScalars.append(text[end])
                let score = scores[piece] ?? (end == start ? unknown : -.infinity)
                best[end + 1] = max(best[end + 1], best[start] + Double(score))
            }
        }
        return best[text.count]
    }

    private static func model(_ name: String) throws -> SentencePieceModel {
        let path = TemporaryFolder.fixture(name)
        return try TemporaryFolder.read(path).withUnsafeBytes { try SentencePieceModel($0, file: path) }
    }

    private static func scores(_ model: SentencePieceModel) -> [String: Float] {
        Dictionary(
            uniqueKeysWithValues: model.pieces.filter { $0.type == .normal }.map {
                (String(decoding: $0.text, as: UTF8.self), $0.score)
            })
    }

    @Test func mergingIsMergingTheWholeText() throws {
        let name = "golden/tokenizers/spm_bpe.model"
        let tokenizer = try SentencePieceTokenizer(contentsOf: TemporaryFolder.fixture(name))
        let scores = try Self.scores(Self.model(name))
        let words = scores.keys.sorted().filter { $0.count > 1 }
        var random = Random(seed: 5)
        for _ in 0..<300 {
            let text = (0..<random.index(below: 12)).map { _ in
                let word = words[random.index(below: words.count)]
                return String(word.prefix(1 + random.index(below: word.count)))
            }.joined()
            let plain = text.split(separator: "▁", omittingEmptySubsequences: false).joined(separator: " ")
            let expected = plain.isEmpty ? [] : Self.merged("▁" + text, scores)
            #expect(tokenizer.encode(plain).map { tokenizer.piece(of: $0) } == expected, "\(plain)")
        }
    }

    @Test func bestWayHasTheGreatestSum() throws {
        let name = "sentencepiece/unigram_bytes.model"
        let tokenizer = try SentencePieceTokenizer(contentsOf: TemporaryFolder.fixture(name))
        let scores = try Self.scores(Self.model(name))
        let lowest = try #require(scores.values.min())
        let letters = scores.keys.sorted().filter { $0.utf8.count == 1 }
        var random = Random(seed: 6)
        for _ in 0..<500 {
            let text = (0..<1 + random.index(below: 30)).map { _ in
                random.index(below: 6) == 0 ? " " : letters[random.index(below: letters.count)]
            }.joined()
            let pieces = tokenizer.encode(text).compactMap { tokenizer.piece(of: $0) }
            let sum = pieces.reduce(0) { $0 + Double(scores[$1] ?? -.infinity) }
            let normal = "▁" + text.split(separator: " ", omittingEmptySubsequences: false).joined(separator: "▁")
            #expect(pieces.joined() == normal)
            let best = Self.bestSum(Array(normal.unicodeScalars), scores, unknown: lowest - 10)
            #expect(abs(sum - best) <= 1e-5 * abs(best), "\(text)")
        }
    }

    /// A piece that is unused is taken apart into what it was merged from, twice over if need be.
    @Test func unusedPiecesAreTakenApart() throws {
        let name = "golden/tokenizers/spm_bpe.model"
        var model = try Self.model(name)
        let whole = try SentencePieceTokenizer(model.fileContent, file: "")
        let text = "the and thing other then that"
        let used = Set(whole.encode(text))
        for token in model.pieces.indices where used.contains(Int32(token)) && model.pieces[token].text.count > 4 {
            model.pieces[token].type = .unused
        }
        let apart = try SentencePieceTokenizer(model.fileContent, file: "")
        let tokens = apart.encode(text)
        #expect(tokens.count > whole.encode(text).count)
        #expect(tokens.allSatisfy { model.pieces[Int($0)].type != .unused })
        #expect(apart.decode(tokens) == text)
    }
}
