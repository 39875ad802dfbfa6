import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// Ids, tokens and texts of the Python package `tokenizers`, for every case exactly.
@Suite struct GoldenTokenizerTests {
    struct Case {
        let text: String
        let ids: [Int32]
        let decoded: String
    }

    static func tokenizer(_ name: String) throws -> BytePairTokenizer {
        try BytePairTokenizer(json: TemporaryFolder.fixture("golden/tokenizers/\(name).json"))
    }

    static func cases(_ name: String) throws -> [Case] {
        let file = try JSONValue(contentsOf: TemporaryFolder.fixture("golden/tokenizers/\(name)_cases.json"))
        return try #require(file["cases"]?.array).map { value in
            Case(
                text: try #require(value["text"]?.string),
                ids: try #require(value["ids"]?.array).map { Int32(try #require($0.integer)) },
                decoded: try #require(value["decoded"]?.string))
        }
    }

    @Test(arguments: ["bpe_gpt2", "bpe_qwen"])
    func idsAndTexts(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        let cases = try Self.cases(name)
        #expect(cases.count > 60 && tokenizer.vocabularySize == 859)
        for item in cases {
            let ids = tokenizer.encode(item.text, specialTokens: .recognised)
            #expect(ids == item.ids, "\(item.text)")
            #expect(Array(tokenizer.decodeWithSpecialTokens(ids).utf8) == Array(item.decoded.utf8), "\(item.text)")
        }
    }

    /// However the tokens are cut, the pieces are the text, and none ends inside a character.
    @Test(arguments: ["bpe_gpt2", "bpe_qwen"])
    func streaming(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        for item in try Self.cases(name) {
            var (decoder, text) = (StreamingDecoder(tokenizer), "")
            for id in item.ids { text += decoder.append(id) }
            text += decoder.finish()
            #expect(Array(text.utf8) == Array(tokenizer.decode(item.ids).utf8), "\(item.text)")
        }
    }

    @Test func specialTokensAreTextUnlessAskedFor() throws {
        let tokenizer = try Self.tokenizer("bpe_gpt2")
        #expect(tokenizer.encode("a<|endoftext|>", specialTokens: .recognised) == [67, 0])
        let plain = tokenizer.encode("a<|endoftext|>")
        #expect(!plain.contains(0) && tokenizer.decode(plain) == "a<|endoftext|>")
        #expect(tokenizer.decode([67, 0, 67]) == "aa")
        #expect(tokenizer.decodeWithSpecialTokens([67, 0, 67]) == "a<|endoftext|>a")
        #expect(tokenizer.endOfDocument == 0 && tokenizer.beginOfDocument == nil)
    }

    /// Bytes that are no UTF-8 are U+FFFD before anything else happens.
    @Test func brokenBytesAreReplaced() throws {
        let tokenizer = try Self.tokenizer("bpe_gpt2")
        #expect(tokenizer.encode([0x61, 0xff, 0xe2, 0x82, 0x62]) == tokenizer.encode("a\u{fffd}\u{fffd}b"))
    }

    /// Random text comes back, and several threads give what one gives.
    @Test(arguments: ["bpe_gpt2", "bpe_qwen"])
    func randomTextComesBack(_ name: String) throws {
        let tokenizer = try Self.tokenizer(name)
        var random = Random(seed: 11)
        var texts: [[UInt8]] = []
        for _ in 0..<1000 {
            let text = RandomText.make(&random, length: random.index(below: 60))
            texts.append(Array(text.utf8))
            // Swift compares texts by canonical equivalence, which NFC keeps.
            #expect(tokenizer.decode(tokenizer.encode(text)) == text, "\(text.unicodeScalars.map(\.value))")
            if name == "bpe_gpt2" {
                #expect(Array(tokenizer.decode(tokenizer.encode(text)).utf8) == Array(text.utf8))
            }
        }
        let joined = texts.joined(separator: Array("x\ny".utf8)).map { $0 }
        let long = Array(repeatElement(joined, count: 24).joined())
        let alone = tokenizer.encode(long)
        long.withUnsafeBytes { bytes in
            #expect(tokenizer.cut(bytes, from: 1000) != nil && long.count > 1 << 20)
            #expect(tokenizer.encode([bytes, bytes], threads: 3) == [alone, alone])
            #expect(tokenizer.encode([bytes, bytes], threads: 1) == [alone, alone])
        }
    }
}

/// Random texts of what is hard for tokenizers.
enum RandomText {
    private static let hard: [Unicode.Scalar] = Array(
        "aBsStTrReE'  \t\n\r012.,/<|>éÉßªあ漢字ไ\u{301}\u{327}\u{345}\u{200d}\u{a0}\u{3000}\u{2028}\u{85}😀👩IÅ\u{212b}가ᄀ\u{1161}\u{11a8}"
            .unicodeScalars)

    static func make(_ random: inout Random, length: Int) -> String {
        var text = ""
        for _ in 0..<length {
            let any = Unicode.Scalar(UInt32(random.index(below: 0x110000)))
            let scalar = random.index(below: 20) == 0 ? any ?? "x" : hard[random.index(below: hard.count)]
            text.unicodeScalars.append(scalar)
        }
        return text
    }
}
