import GDNTensor
import GDNTokenizers
import Testing

/// What the regular expressions of known tokenizers cut text into; the pieces are those of the Python package.
@Suite struct WordScannerTests {
    static func pieces(_ text: String, _ pattern: WordPattern) -> [String] {
        let bytes = Array(text.utf8)
        var result: [String] = []
        bytes.withUnsafeBytes { buffer in
            WordScanner.split(buffer, pattern) { result.append(String(decoding: bytes[$0], as: UTF8.self)) }
        }
        return result
    }

    @Test(arguments: [
        (
            WordPattern.gpt2, "I'll pay  $12.50\n\n now",
            ["I", "'ll", " pay", " ", " $", "12", ".", "50", "\n\n", " now"]
        ),
        (.gpt2, "IT'S x\n\ny", ["IT", "'", "S", " x", "\n", "\n", "y"]),
        (.qwen2, "IT'S 123\n \n  end ", ["IT", "'S", " ", "1", "2", "3", "\n \n", " ", " end", " "]),
        (.qwen2, "(foo)->bar();\n\n\tx", ["(foo", ")->", "bar", "();\n\n", "\tx"]),
        (.qwen2, "a'\u{17f}b", ["a", "'\u{17f}", "b"]),
        (.qwen3_5, "a\u{301}b 12", ["a\u{301}b", " ", "1", "2"]),
        (.llama3, "1234567 e\u{301}", ["123", "456", "7", " e", "\u{301}"]),
        (.cl100k, "x \n  ", ["x", " \n  "]),
        (.llama3, "x \n  ", ["x", " \n", "  "]),
        (.o200k, "HelloWorld's ABC path/\n/x", ["Hello", "World's", " ABC", " path", "/\n/", "x"]),
        (.o200k, "\u{301}ABC", ["\u{301}", "ABC"]),
        (.tekken, "don't 12", ["don", "'t", " ", "1", "2"]),
    ])
    func pieces(_ pattern: WordPattern, _ text: String, _ expected: [String]) {
        let found = Self.pieces(text, pattern)
        #expect(found.map { Array($0.utf8) } == expected.map { Array($0.utf8) }, "\(pattern.name): \(found)")
    }

    /// Every byte is in one word, no word is empty, and cut-off characters at the end are not read beyond.
    @Test func wordsCoverTheText() {
        var random = Random(seed: 5)
        for _ in 0..<1000 {
            let bytes = Array(RandomText.make(&random, length: 30).utf8)
            let cut = Array(bytes.prefix(random.index(below: bytes.count + 1)))
            for pattern in WordPattern.all {
                var (place, isGapless) = (0, true)
                cut.withUnsafeBytes { buffer in
                    WordScanner.split(buffer, pattern) { word in
                        isGapless = isGapless && word.lowerBound == place && !word.isEmpty
                        place = word.upperBound
                    }
                }
                #expect(isGapless && place == cut.count)
            }
        }
    }

    @Test func expressionsNameTheirPattern() {
        for pattern in WordPattern.all {
            #expect(WordPattern(expression: pattern.expression) == pattern)
            #expect(WordPattern(name: pattern.name) == pattern)
        }
        #expect(WordPattern(expression: #"\w+"#) == nil && WordPattern(name: "none") == nil)
        #expect(WordPattern(name: "cl100k_base") == .cl100k)
    }
}

@Suite struct NormalizationTests {
    private func composed(_ text: String) -> [UInt32]? {
        Array(text.utf8).withUnsafeBytes { Normalization.shared.composed($0) }
            .map { String(decoding: $0, as: UTF8.self).unicodeScalars.map(\.value) }
    }

    @Test func knownForms() {
        #expect(composed("plain é 漢字 \u{1f600}") == nil)
        #expect(composed("e\u{301}") == [0xe9])
        #expect(composed("\u{212b}\u{2126}") == [0xc5, 0x3a9])
        #expect(composed("q\u{307}\u{323}") == [0x71, 0x323, 0x307])
        #expect(composed("\u{1e9b}\u{323}") == [0x1e9b, 0x323])
        #expect(composed("\u{1100}\u{1161}\u{11a8}x") == [0xac01, 0x78])
        #expect(composed("\u{958}") == [0x915, 0x93c])  // never composed
        #expect(composed("\u{344}") == [0x308, 0x301])
        #expect(composed("a\u{305}\u{301}") == [0x61, 0x305, 0x301])  // held apart by an equal class
    }

    /// The composed text is canonically equivalent to the given one (Swift compares so), and settled.
    @Test func randomTextStaysEquivalent() {
        var random = Random(seed: 9)
        var changed = 0
        for _ in 0..<6000 {
            let text = RandomText.make(&random, length: 8)
            guard let codes = composed(text) else { continue }
            let result = String(String.UnicodeScalarView(codes.compactMap(Unicode.Scalar.init)))
            changed += 1
            #expect(result == text)
            #expect(composed(result).map { $0 == codes } ?? true, "\(codes)")
        }
        #expect(changed > 1500)
    }

    /// The time must not grow with the square of the marks behind one letter.
    @Test(.timeLimit(.minutes(30))) func manyMarks() {
        let text = "a" + String(repeating: "\u{327}\u{301}", count: 50_000)
        #expect(composed(text)?.count == 100_000)
    }
}
