import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// tokenizer.json in the manner of Llama-2 and Mistral: characters with byte fallback, U+2581 for spaces. Expected values by
/// the Python package (`Interop/python/compare_tokenizers.py --write-pieces`).
@Suite struct CharacterPiecesTests {
    let folder = TemporaryFolder()
    let path = TemporaryFolder.fixture("sentencepiece/pieces.json")

    @Test func idsAndTextsAreThePackages() throws {
        let tokenizer = try BytePairTokenizer(json: path)
        let cases = String(
            decoding: try TemporaryFolder.read(TemporaryFolder.fixture("sentencepiece/pieces_cases.jsonl")),
            as: UTF8.self
        ).split(separator: "\n")
        #expect(cases.count > 300)
        for line in cases {
            let row = try JSONValue(parsing: String(line))
            let text = try #require(row["text"]?.string)
            func ids(_ name: String) -> [Int32] { row[name]?.array?.compactMap { $0.integer.map { Int32($0) } } ?? [] }
            #expect(tokenizer.encode(text, specialTokens: .recognised) == ids("ids"), "\(text)")
            let plain = tokenizer.encode(text)
            #expect(plain == ids("plain"), "\(text)")
            #expect(tokenizer.decode(plain) == row["decoded"]?.string, "\(text)")
            var decoder = StreamingDecoder(tokenizer)
            let streamed = plain.map { decoder.append($0) }.joined() + decoder.finish()
            #expect(streamed == tokenizer.decode(plain))
        }
        #expect(tokenizer.beginOfDocument == 1 && tokenizer.frame.prefix == [1])
    }

    /// A text is cut where no merge reaches across; merged as a whole it must have the same tokens.
    @Test func cuttingChangesNothing() throws {
        let text = String(decoding: try TemporaryFolder.read(path), as: UTF8.self)
        // With this option words may not be cut, and no text here is a token as a whole.
        let whole = text.replacing("\"ignore_merges\":false", with: "\"ignore_merges\":true")
        #expect(whole != text)
        let (cut, uncut) = try (
            BytePairTokenizer(json: path), BytePairTokenizer(json: folder.write("tokenizer.json", whole))
        )
        var random = Random(seed: 71)
        let pieces = [
            "the ", "a", "  ", "\n", "int main(", "é", "漢字", "😀", "\u{2581}", "ing", "0", "<0x41>", " of", "\t", "xyz",
        ]
        for _ in 0..<3000 {
            let parts = (0..<2 + random.index(below: 80)).map { _ in pieces[random.index(below: pieces.count)] }
            let text = parts.joined() + "\u{1}"
            #expect(cut.encode(text) == uncut.encode(text), "\(text)")
        }
    }

    @Test func everyByteComesBack() throws {
        let tokenizer = try BytePairTokenizer(json: path)
        var random = Random(seed: 72)
        for _ in 0..<300 {
            let scalars = (0..<random.index(below: 50)).compactMap { _ in Unicode.Scalar(random.index(below: 0x110000))
            }
            let text = String(String.UnicodeScalarView(scalars))
            #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        }
        // A character that is broken off is one U+FFFD a byte.
        let emoji = tokenizer.encode("\u{1F9FF}")
        #expect(tokenizer.decode(emoji.dropLast()) == "\u{FFFD}\u{FFFD}\u{FFFD}")
    }

    @Test(arguments: [
        ("\"Strip\"", "\"CTC\"", "decoder"), ("\"Prepend\"", "\"Lowercase\"", "normalizer"),
        ("\"<0x41>\":", "\"<0x4x>\":", "model.byte_fallback"),
        ("\"pre_tokenizer\":null", "\"pre_tokenizer\":{\"type\":\"Whitespace\"}", "pre_tokenizer"),
    ])
    func whatIsNotSupportedIsNamed(_ old: String, _ new: String, _ part: String) throws {
        let text = String(decoding: try TemporaryFolder.read(path), as: UTF8.self)
        let changed = text.replacing(old, with: new)
        #expect(changed != text)
        let error = #expect(throws: FormatError.self) {
            try BytePairTokenizer(json: folder.write("tokenizer.json", changed))
        }
        #expect(error?.part == part, "\(String(describing: error))")
    }
}
