import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// Merges by the book, for comparison: the lowest rank, of equal ones the first, again and again.
struct SlowMerges {
    private var ranks: [[String]: Int] = [:]
    private var ids: [String: Int32] = [:]

    init(_ name: String) throws {
        let model = try #require(
            try JSONValue(contentsOf: TemporaryFolder.fixture("golden/tokenizers/\(name).json"))["model"])
        for (rank, merge) in try #require(model["merges"]?.array).enumerated() {
            ranks[try #require(merge.array).compactMap(\.string)] = rank
        }
        for (token, id) in try #require(model["vocab"]?.object).members { ids[token] = id.integer.map { Int32($0) } }
    }

    func encode(_ word: [UInt8]) -> [Int32] {
        var parts = word.map { ByteAlphabet.encode([$0]) }
        while true {
            let pairs = zip(parts, parts.dropFirst()).enumerated().compactMap { place, pair in
                ranks[[pair.0, pair.1]].map { (rank: $0, place: place) }
            }
            guard let best = pairs.min(by: { ($0.rank, $0.place) < ($1.rank, $1.place) }) else { break }
            parts.replaceSubrange(best.place...best.place + 1, with: [parts[best.place] + parts[best.place + 1]])
        }
        return parts.compactMap { ids[$0] }
    }
}

@Suite struct MergeTests {
    let folder = TemporaryFolder()

    /// Words of all lengths, short ones more than once: cache, search and heap all give what the book gives.
    @Test func mergesAreThoseOfTheBook() throws {
        let tokenizer = try GoldenTokenizerTests.tokenizer("bpe_gpt2")
        let slow = try SlowMerges("bpe_gpt2")
        var random = Random(seed: 7)
        let letters = Array("etaoinshrtheinga".utf8)
        for round in 0..<600 {
            let length = round < 400 ? 1 + random.index(below: 70) : 60 + random.index(below: 240)
            let word = (0..<length).map { _ in letters[random.index(below: letters.count)] }
            let expected = slow.encode(word)
            #expect(tokenizer.encode(word) == expected, "\(String(decoding: word, as: UTF8.self))")
            #expect(tokenizer.encode(word) == expected)
        }
    }

    /// A very long word takes no time that grows with its square.
    @Test(.timeLimit(.minutes(30))) func oneVeryLongWord() throws {
        let tokenizer = try GoldenTokenizerTests.tokenizer("bpe_gpt2")
        let word = Array(repeatElement(Array("theinging".utf8), count: 20_000).joined())
        #expect(tokenizer.decode(tokenizer.encode(word)).utf8.count == word.count)
        let spaces = [UInt8](repeating: 0x20, count: 200_000)
        #expect(tokenizer.decode(tokenizer.encode(spaces)).utf8.count == spaces.count)
    }

    /// The golden tokenizer as ranks: the same tokens, numbered from the bytes on.
    private func ranks() throws -> String {
        let model = try JSONValue(contentsOf: TemporaryFolder.fixture("golden/tokenizers/bpe_gpt2.json"))["model"]
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".map { String($0) }
        var text = ""
        for (token, id) in try #require(model?["vocab"]?.object).members where try #require(id.integer) > 2 {
            var bytes: [UInt8] = []
            #expect(Array(token.utf8).withUnsafeBytes { ByteAlphabet.decode($0, into: &bytes) })
            for start in stride(from: 0, to: bytes.count, by: 3) {
                let part = bytes[start..<min(start + 3, bytes.count)]
                let value = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
                for digit in 0..<4 {
                    text += digit > part.count ? "=" : alphabet[value >> (18 - 6 * digit) & 63]
                }
            }
            text += " \(try #require(id.integer) - 3)\n"
        }
        return text
    }

    @Test func rankFiles() throws {
        let path = try folder.write("gpt2.tiktoken", try ranks())
        let tokenizer = try BytePairTokenizer(tiktoken: path)
        let golden = try GoldenTokenizerTests.tokenizer("bpe_gpt2")
        var random = Random(seed: 8)
        for _ in 0..<500 {
            let text = "the thing and " + RandomText.make(&random, length: 40)
            #expect(tokenizer.encode(text) == golden.encode(text).map { $0 - 3 })
        }
        #expect(tokenizer.vocabularySize == 856 && tokenizer.endOfDocument == nil)
        #expect(try TokenizerFile.load(from: folder.root).identity == tokenizer.identity)
    }

    /// Pattern and special tokens that a rank file lacks are in gdn_tokenizer.json, and come with it to a new folder.
    @Test func rankFilesWithConfiguration() throws {
        let path = try folder.write("ranks.tiktoken", try ranks())
        let error = #expect(throws: FormatError.self) { try BytePairTokenizer(tiktoken: path) }
        #expect(error?.part == "pattern")
        let tokenizer = try BytePairTokenizer(tiktoken: path, pattern: "llama3", special: ["<|endoftext|>": 900])
        #expect(tokenizer.endOfDocument == 900 && tokenizer.vocabularySize == 901)
        let copy = folder.makeFolder("copy")
        try TokenizerFile.save(tokenizer, in: copy)
        let loaded = try TokenizerFile.load(from: copy)
        #expect(loaded.identity == tokenizer.identity && loaded.encode("a 1234") == tokenizer.encode("a 1234"))
        try folder.write("copy/ranks.tiktoken", "AA== 0\n")
        #expect(throws: FormatError.self) { try TokenizerFile.load(from: copy) }
    }

    @Test(arguments: ["AA== x\n", "AA==\n", "!!!! 1\n", "AA== 0\nAA== 1\n", "AA== 0\nAQ== 0\n", "AA== -1\n", "= 5\n"])
    func damagedRanks(_ text: String) throws {
        let path = try folder.write("gpt2.tiktoken", text)
        let error = #expect(throws: FormatError.self) { try BytePairTokenizer(tiktoken: path) }
        #expect(error?.part?.hasPrefix("line ") == true)
    }

    @Test func whatAFolderHolds() throws {
        #expect(throws: FormatError.self) { try TokenizerFile.load(from: folder.root) }
        try folder.write("b.tiktoken", "AA== 0\n")
        try folder.write("a.tiktoken", "AA== 0\n")
        let several = #expect(throws: FormatError.self) { try TokenizerFile.load(from: folder.root) }
        #expect(several?.rule.contains("a.tiktoken, b.tiktoken") == true)
        let golden = TemporaryFolder.fixture("golden/tokenizers/bpe_qwen.json")
        try folder.write("tokenizer.json", try TemporaryFolder.read(golden))
        let identity = try TokenizerFile.load(from: golden).identity
        #expect(try TokenizerFile.load(from: folder.root).identity == identity)
        #expect(try TokenizerFile.load(from: folder.root + "/").identity == identity)
        try TokenizerFile.save(ByteTokenizer(), in: folder.root)
        #expect(try TokenizerFile.load(from: folder.root).vocabularySize == 256)
    }

    /// Damaged rank files are refused or read, never more than that.
    @Test func damagedRankFilesNeverCrash() throws {
        let good = Array(try ranks().utf8)
        var random = Random(seed: 83)
        var refused = 0
        for _ in 0..<400 {
            var bytes = random.index(below: 4) == 0 ? Array(good.prefix(random.index(below: good.count))) : good
            for _ in 0...random.index(below: 3) where !bytes.isEmpty {
                let alphabet = Array("=+ /\n09AZ\u{1}".utf8) + [0xff]
                bytes[random.index(below: bytes.count)] = alphabet[random.index(below: alphabet.count)]
            }
            do {
                let tokenizer = try BytePairTokenizer(tiktoken: folder.write("gpt2.tiktoken", bytes))
                _ = tokenizer.decode(tokenizer.encode("some text 123 漢字"))
            } catch is FormatError {
                refused += 1
            }
        }
        #expect(refused > 40)
    }
}
