import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

@Suite struct TokenizerTrainingTests {
    let folder = TemporaryFolder()

    /// A text of words that occur more or less often.
    private func corpus(_ lines: Int, seed: UInt64) throws -> String {
        let words = [
            "the", "then", "other", "mother", "low", "lower", "lowest", "newer", "wide", "aaaa", "aaa", "été", "漢字",
            "12", "x.y", "…",
        ]
        var random = Random(seed: seed)
        let text = (0..<lines).map { _ in
            (0..<1 + random.index(below: 9)).map { _ in
                words[min(random.index(below: words.count), random.index(below: words.count))]
            }.joined(separator: random.index(below: 9) == 0 ? "  " : " ") + "\n"
        }.joined()
        return try folder.write("corpus-\(seed)-\(lines).txt", text)
    }

    /// Merges of a corpus by the definition: count all neighbours anew each time; of equal pairs the smallest.
    private func slowMerges(_ words: [[Int]: Int], first: Int, count: Int) -> [[Int]] {
        var (words, merges) = (words, [[Int]]())
        for symbol in first..<first + count {
            var counts: [[Int]: Int] = [:]
            for (word, times) in words {
                for index in word.indices.dropLast() { counts[[word[index], word[index + 1]], default: 0] += times }
            }
            guard let best = counts.min(by: { ($1.value, $0.key[0], $0.key[1]) < ($0.value, $1.key[0], $1.key[1]) })
            else { break }
            merges.append(best.key)
            var next: [[Int]: Int] = [:]
            for (word, times) in words {
                var (merged, index) = ([Int](), 0)
                while index < word.count {
                    if index + 1 < word.count, word[index] == best.key[0], word[index + 1] == best.key[1] {
                        merged.append(symbol)
                        index += 2
                    } else {
                        merged.append(word[index])
                        index += 1
                    }
                }
                next[merged, default: 0] += times
            }
            words = next
        }
        return merges
    }

    @Test func mergesAreThoseOfTheDefinition() throws {
        let path = try corpus(300, seed: 1)
        var trainer = try BytePairTrainer(vocabularySize: 257 + 40, pattern: "gpt2")
        trainer.threads = 2
        let json = try #require(try trainer.train(on: [path]))
        let file = try json.withUnsafeBytes { try JSONValue(parsing: $0, file: "") }
        let vocabulary = try #require(file["model"]?["vocab"]?.object)
        let merges = try #require(file["model"]?["merges"]?.array).map { pair in
            try #require(pair.array).map { vocabulary[$0.string ?? ""]?.integer ?? -1 }
        }
        let text = try TemporaryFolder.read(path)
        var words: [[Int]: Int] = [:]
        text.withUnsafeBytes { bytes in
            WordScanner.split(bytes, .gpt2) { range in
                let word = bytes[range].map { byte in
                    vocabulary[Unicode.Scalar(ByteAlphabet.scalars[Int(byte)]).map { String($0) } ?? ""]?.integer ?? -1
                }
                words[word, default: 0] += 1
            }
        }
        #expect(merges.count == 40 && merges == slowMerges(words, first: 257, count: 40))
        #expect(vocabulary["<|endoftext|>"] == .integer(0) && vocabulary.keys.count == 297)
    }

    @Test(arguments: ["gpt2", "llama3", "qwen"]) func trainedTokenizerLoads(_ pattern: String) throws {
        let path = try corpus(400, seed: 2)
        var trainer = try BytePairTrainer(vocabularySize: 290, pattern: pattern)
        trainer.specialTokens = ["<|endoftext|>", "<|im_start|>"]
        let json = try #require(try trainer.train(on: [path]))
        let tokenizer = try TokenizerFile.load(from: folder.write("\(pattern).json", json))
        #expect(tokenizer.vocabularySize == 290 && tokenizer.endOfDocument == 0)
        let text = try String(decoding: TemporaryFolder.read(path), as: UTF8.self)
        let tokens = tokenizer.encode(text)
        #expect(tokenizer.decode(tokens) == text && tokens.count < text.utf8.count)
        #expect(tokenizer.encode("<|im_start|>", specialTokens: .recognised) == [1])
    }

    /// Parts of several files on several threads give the same bytes as one thread.
    @Test func threadsDoNotMatter() throws {
        let paths = try [corpus(60_000, seed: 3), corpus(20_000, seed: 4), corpus(10, seed: 5)]
        func byteLevel(_ threads: Int) throws -> [UInt8]? {
            var trainer = try BytePairTrainer(vocabularySize: 300, pattern: "llama3")
            trainer.threads = threads
            return try trainer.train(on: paths)
        }
        func sentencePiece(_ threads: Int) throws -> [UInt8]? {
            var trainer = SentencePieceTrainer(vocabularySize: 330)
            trainer.threads = threads
            return try trainer.train(on: paths)
        }
        #expect(try byteLevel(1) == byteLevel(4))
        #expect(try sentencePiece(1) == sentencePiece(4))
    }

    @Test func sentencePieceModelLoadsAndKeepsItsRules() throws {
        let path = try corpus(500, seed: 6)
        var trainer = SentencePieceTrainer(vocabularySize: 310)
        trainer.specialTokens = ["<sep>"]
        let content = try #require(try trainer.train(on: [path]))
        let tokenizer = try SentencePieceTokenizer(content, file: "")
        #expect(tokenizer.vocabularySize == 310 && tokenizer.token(ofPiece: "<sep>") == 3)
        #expect(tokenizer.token(ofPiece: "<0x00>") == 4 && tokenizer.token(ofPiece: "▁the") != nil)
        for token in Int32(260)..<310 {
            let piece = Array(try #require(tokenizer.piece(of: token)))
            #expect(piece.count == 1 || piece.allSatisfy { $0 == "▁" } || !piece.dropFirst().contains("▁"))
            #expect(piece.count == 1 || !piece.contains { $0.isNumber })
            #expect(!(piece.contains("漢") && piece.contains("e")) && piece != Array("x."))
        }
        let text = "the lowest  mother é漢字 12…\n\tnewer 😀"
        #expect(tokenizer.decode(tokenizer.encode(text)) == text)
        #expect(tokenizer.encode("the mother").count == 2)
    }

    @Test func stopsWhenAsked() throws {
        let path = try corpus(2_000, seed: 7)
        let trainer = try BytePairTrainer(vocabularySize: 2_000, pattern: "gpt2")
        #expect(try trainer.train(on: [path]) { _ in false } == nil)
        #expect(try SentencePieceTrainer(vocabularySize: 400).train(on: [path]) { _ in false } == nil)
    }

    @Test func impossibleSettingsAreRefused() throws {
        let path = try corpus(50, seed: 8)
        let empty = try folder.write("empty.txt", "")
        #expect(throws: FormatError.self) { try BytePairTrainer(vocabularySize: 300, pattern: "none") }
        #expect(throws: FormatError.self) {
            try BytePairTrainer(vocabularySize: 256, pattern: "gpt2").train(on: [path])
        }
        #expect(throws: FormatError.self) {
            try BytePairTrainer(vocabularySize: 300, pattern: "gpt2").train(on: [empty])
        }
        #expect(throws: FormatError.self) {
            try BytePairTrainer(vocabularySize: 300, pattern: "gpt2").train(on: [folder.path("absent")])
        }
        var doubled = try BytePairTrainer(vocabularySize: 300, pattern: "gpt2")
        doubled.specialTokens = ["<a>", "<a>"]
        #expect(throws: FormatError.self) { try doubled.train(on: [path]) }
        #expect(throws: FormatError.self) { try SentencePieceTrainer(vocabularySize: 262).train(on: [path]) }
        var taken = SentencePieceTrainer(vocabularySize: 400)
        taken.specialTokens = ["<s>"]
        #expect(throws: FormatError.self) { try taken.train(on: [path]) }
    }
}
