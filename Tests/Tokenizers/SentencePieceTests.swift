import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// Ids, pieces and texts of the SentencePiece library, for every case exactly.
@Suite struct SentencePieceTests {
    static let names = [
        "unigram_rules", "unigram_bytes", "unigram_defined", "bpe_rules", "bpe_defined", "bpe_suffix", "bpe_across",
    ]

    static func golden() throws -> SentencePieceTokenizer {
        try SentencePieceTokenizer(contentsOf: TemporaryFolder.fixture("golden/tokenizers/spm_bpe.model"))
    }

    static func fixture(_ name: String) throws -> SentencePieceTokenizer {
        try SentencePieceTokenizer(contentsOf: TemporaryFolder.fixture("sentencepiece/\(name).model"))
    }

    @Test func goldenCases() throws {
        let tokenizer = try Self.golden()
        #expect(tokenizer.vocabularySize == 512 && tokenizer.beginOfDocument == 1 && tokenizer.endOfDocument == 2)
        #expect(tokenizer.padding == nil)
        let file = try JSONValue(contentsOf: TemporaryFolder.fixture("golden/tokenizers/spm_bpe.json"))
        let cases = try #require(file["cases"]?.array)
        #expect(cases.count > 60)
        for item in cases {
            let text = try #require(item["text"]?.string)
            let ids = try #require(item["ids"]?.array).map { Int32(try #require($0.integer)) }
            #expect(tokenizer.encode(text) == ids, "\(text)")
            let pieces = try #require(item["pieces"]?.array).map { try #require($0.string) }
            #expect(ids.map { tokenizer.piece(of: $0) } == pieces)
            #expect(pieces.map { tokenizer.token(ofPiece: $0) } == ids)
            #expect(tokenizer.decode(ids) == item["decoded"]?.string)
            let prefixes = try #require(item["decoded_each_prefix"]?.array).map { try #require($0.string) }
            for (index, prefix) in prefixes.enumerated() {
                #expect(Array(tokenizer.decode(ids.prefix(index + 1)).utf8) == Array(prefix.utf8), "\(text)")
            }
        }
    }

    @Test(arguments: names) func libraryCases(_ name: String) throws {
        let tokenizer = try Self.fixture(name)
        let path = TemporaryFolder.fixture("sentencepiece/\(name).jsonl")
        let lines = try TemporaryFolder.read(path).split(separator: 0x0a)
        #expect(lines.count > 60)
        for line in lines {
            let item = try Array(line).withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
            let text = try bytes(#require(item["bytes"]?.string))
            let ids = try #require(item["ids"]?.array).map { Int32(try #require($0.integer)) }
            #expect(tokenizer.encode(text) == ids, "\(String(decoding: text, as: UTF8.self))")
            #expect(Array(tokenizer.decode(ids).utf8) == Array(try #require(item["decoded"]?.string).utf8))
        }
    }

    /// The first space of a text goes, that of its continuation stays.
    @Test func streamingFollowsThePlaceInTheText() throws {
        let tokenizer = try Self.golden()
        let ids = tokenizer.encode("the the")
        var start = StreamingDecoder(tokenizer)
        #expect(ids.map { start.append($0) }.joined() + start.finish() == "the the")
        var rest = StreamingDecoder(tokenizer, continuing: true)
        #expect(ids.map { rest.append($0) }.joined() + rest.finish() == " the the")
        let euro = tokenizer.encode("€").suffix(3)
        var half = StreamingDecoder(tokenizer)
        #expect(euro.map { half.append($0) } == ["", "", "€"])
        #expect(half.append(euro.first ?? 0) == "" && half.finish() == "\u{fffd}")
        #expect(tokenizer.decode([Int32](euro.prefix(2))) == "\u{fffd}\u{fffd}", "one for each byte, as the library")
        #expect(tokenizer.decode([-1, 100_000, 1, 2]) == "")
        #expect(tokenizer.decode([0]) == " \u{2047} ")
    }

    @Test func controlPiecesAreFoundWhenAskedFor() throws {
        let tokenizer = try Self.fixture("bpe_rules")
        let separator = try #require(tokenizer.token(ofPiece: "<sep>"))
        #expect(!tokenizer.encode("the<sep>the").contains(separator))
        let the = tokenizer.encode("the")
        #expect(tokenizer.encode("the<sep>the", specialTokens: .recognised) == the + [separator] + the)
        #expect(tokenizer.encodePrompt("the") == [1] + the)
        #expect(tokenizer.decodeWithSpecialTokens([1] + the + [separator]) == "<s>the<sep>")
    }

    @Test func savedTokenizerComesBack() throws {
        let folder = TemporaryFolder()
        let tokenizer = try Self.fixture("unigram_rules")
        try TokenizerFile.save(tokenizer, in: folder.root)
        let loaded = try TokenizerFile.load(from: folder.root)
        #expect(loaded is SentencePieceTokenizer && loaded.identity == tokenizer.identity)
        #expect(try loaded.identity != Self.fixture("unigram_bytes").identity)
    }

    /// Long runs take other ways through the code than words do: the heap, the settling of the best way, the cache.
    @Test func longTextsAreTheirPartsPutTogether() throws {
        let tokenizer = try Self.golden()
        let word = tokenizer.encode("the the").suffix(1)
        let many = tokenizer.encode(String(repeating: "the ", count: 30_000))
        #expect(many.dropFirst().prefix(20_000).allSatisfy { $0 == word.last })
        for (name, text) in [
            ("unigram_bytes", " "), ("unigram_bytes", "a"), ("bpe_across", "a "), ("bpe_across", "\u{301}"),
        ] {
            let long = String(repeating: text, count: 40_000)
            let tokenizer = try Self.fixture(name)
            let decoded = tokenizer.decode(tokenizer.encode(long))
            #expect(Array(decoded.utf8) == Array(long.utf8), "\(name)")
        }
    }

    /// Random texts of awkward characters come back as they were from a model that loses nothing.
    @Test func randomTextsComeBack() throws {
        let tokenizer = try Self.golden()
        var random = Random(seed: 11)
        let letters = Array("the and  \n\t.,é漢😀\u{301}0123▂ABab").map(String.init)
        for _ in 0..<3_000 {
            let text = (0..<random.index(below: 40)).map { _ in letters[random.index(below: letters.count)] }.joined()
            let ids = tokenizer.encode(text)
            #expect(Array(tokenizer.decode(ids).utf8) == Array(text.utf8))
            var decoder = StreamingDecoder(tokenizer)
            #expect(Array((ids.map { decoder.append($0) }.joined() + decoder.finish()).utf8) == Array(text.utf8))
        }
    }

    private func bytes(_ text: String) throws -> [UInt8] {
        let digits = Array(text)
        return try stride(from: 0, to: digits.count, by: 2).map {
            try #require(UInt8(String(digits[$0...$0 + 1]), radix: 16))
        }
    }
}
