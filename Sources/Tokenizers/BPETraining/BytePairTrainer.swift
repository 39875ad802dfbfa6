import GDNFormats
import GDNTensor

/// How far the training of a tokenizer is.
public enum TokenizerTrainingProgress: Sendable {
    /// Words are counted: bytes done and to do.
    case counting(bytes: Int, of: Int)
    /// Pairs are merged: merges done and, at most, to do.
    case merging(Int, of: Int)
}

/// Trains a byte-level BPE tokenizer and writes it as a Hugging Face tokenizer.json.
///
/// The same texts and settings give the merges that the Python package `tokenizers` gives for a `BpeTrainer` with the
/// byte-level alphabet, whatever the number of threads. (That package feeds a file line by line when it is told file
/// names; here a file is one text, as when it is told texts.)
public struct BytePairTrainer: Sendable {
    /// Number of tokens in all: special ones, 256 bytes, and merges.
    public var vocabularySize: Int
    /// Texts of special tokens, which get the tokens from 0 on.
    public var specialTokens: [String] = ["<|endoftext|>"]
    /// Pairs that occur less often are not merged.
    public var minimumFrequency = 1
    /// At most this many threads.
    public var threads = 1
    private let pattern: WordPattern

    /// A trainer.
    /// - Parameters:
    ///   - vocabularySize: number of tokens
    ///   - pattern: how text is cut into words: gpt2, llama3, qwen (which also normalizes to NFC), or another name that
    ///     `WordPattern` knows
    /// - Throws: `FormatError` for an unknown pattern.
    public init(vocabularySize: Int, pattern: String) throws {
        guard let known = WordPattern(name: pattern) else {
            throw FormatError(
                file: "", part: "pattern", rule: "\"\(pattern)\" is unknown",
                advice: "choose one of \(WordPattern.all.map(\.name).joined(separator: ", "))")
        }
        self.vocabularySize = vocabularySize
        self.pattern = known
    }

    /// Learns from text files.
    /// - Parameters:
    ///   - paths: files of text; bytes that are no UTF-8 become U+FFFD
    ///   - progress: called now and then; false stops
    /// - Returns: the tokenizer.json, or nil when it was stopped
    /// - Throws: `FormatError` when a file cannot be read or the settings do not fit.
    public func train(
        on paths: [String], progress: @escaping @Sendable (TokenizerTrainingProgress) -> Bool = { _ in true }
    ) throws -> [UInt8]? {
        var rules = try ByteRules(vocabularySize: vocabularySize, specialTokens: specialTokens)
        let text = try TrainingText(paths)
        let (pattern, normalizes) = (pattern, normalizes)
        let counts = text.countWords(threads: threads) {
            progress(.counting(bytes: $0, of: text.bytes))
        } split: { bytes, body in
            let composed = normalizes ? Normalization.shared.composed(bytes) : nil
            if let composed {
                composed.withUnsafeBytes { Self.split($0, pattern, body) }
            } else {
                Self.split(bytes, pattern, body)
            }
        }
        guard let counts else { return nil }
        var (symbols, lengths, frequencies): ([Int32], [Int32], [Int]) = ([], [], [])
        counts.counts.each { word, length, count in
            for index in 0..<length { symbols.append(rules.byteSymbols[Int(word[index])]) }
            lengths.append(Int32(length))
            frequencies.append(count)
        }
        var merger = PairMerger(symbols: symbols, lengths: lengths, counts: frequencies)
        let total = max(0, vocabularySize - rules.texts.count)
        let merges = merger.learn(&rules, minimum: minimumFrequency) { progress(.merging($0, of: total)) }
        return merges.map { Array(json(rules, $0).text(indented: true).utf8) + [0x0a] }
    }

    private static func split(
        _ bytes: UnsafeRawBufferPointer, _ pattern: WordPattern, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        WordScanner.split(bytes, pattern) { body(UnsafeRawBufferPointer(rebasing: bytes[$0])) }
    }

    private var normalizes: Bool { pattern.name.hasPrefix("qwen") }

    private func json(_ rules: ByteRules, _ merges: [PairMerger.Merge]) -> JSONValue {
        var vocabulary = JSONObject()
        for (token, text) in rules.texts.enumerated() { vocabulary[text] = .integer(token) }
        let added = specialTokens.enumerated().map { token, text in
            JSONValue.object([
                "id": .integer(token), "content": .string(text), "single_word": .bool(false), "lstrip": .bool(false),
                "rstrip": .bool(false),
                "normalized": .bool(false), "special": .bool(true),
            ])
        }
        let byteLevel = { (usesExpression: Bool) in
            JSONValue.object([
                "type": "ByteLevel", "add_prefix_space": .bool(false), "trim_offsets": .bool(true),
                "use_regex": .bool(usesExpression),
            ])
        }
        let split = JSONValue.object([
            "type": "Split", "pattern": .object(["Regex": .string(pattern.expression)]), "behavior": "Isolated",
            "invert": .bool(false),
        ])
        let isGPT2 = pattern == .gpt2
        return .object([
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": normalizes ? .object(["type": "NFC"]) : .null,
            "pre_tokenizer": isGPT2
                ? byteLevel(true)
                : .object(["type": "Sequence", "pretokenizers": .array([split, byteLevel(false)])]),
            "post_processor": .null, "decoder": byteLevel(true),
            "model": .object([
                "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": .bool(false), "byte_fallback": .bool(false),
                "ignore_merges": .bool(false),
                "vocab": .object(vocabulary),
                "merges": .array(
                    merges.map {
                        .array([.string(rules.texts[Int($0.left)]), .string(rules.texts[Int($0.right)])])
                    }),
            ]),
        ])
    }
}

/// Tokens of a byte-level tokenizer: special ones, the bytes in the order of their characters, then merges.
private struct ByteRules: PairMerger.Rules {
    let size: Int
    /// By token, as tokenizer.json has it.
    var texts: [String]
    /// The token of each byte.
    var byteSymbols = [Int32](repeating: 0, count: 256)
    private var tokens: [String: Int32] = [:]

    init(vocabularySize: Int, specialTokens: [String]) throws {
        size = vocabularySize
        texts = specialTokens
        let bytes = (0..<256).sorted { ByteAlphabet.scalars[$0] < ByteAlphabet.scalars[$1] }
        for byte in bytes {
            byteSymbols[byte] = Int32(texts.count)
            texts.append(Unicode.Scalar(ByteAlphabet.scalars[byte]).map { String(Character($0)) } ?? "")
        }
        tokens = Dictionary(texts.enumerated().map { ($1, Int32($0)) }, uniquingKeysWith: { first, _ in first })
        guard tokens.count == texts.count, !specialTokens.contains("") else {
            throw FormatError(
                file: "", part: "special tokens", rule: "must be different, not empty, and no single characters",
                advice: "change \(specialTokens)")
        }
        guard vocabularySize >= texts.count, vocabularySize < Int(Int32.max) else {
            throw FormatError(
                file: "", part: "vocabulary size",
                rule: "\(vocabularySize) is not between \(texts.count) (256 bytes and the special tokens) and 2^31",
                advice: "choose a larger one")
        }
    }

    var isComplete: Bool { texts.count >= size }

    mutating func symbol(_ left: Int32, _ right: Int32) -> Int32? {
        let text = texts[Int(left)] + texts[Int(right)]
        if let token = tokens[text] { return token }
        let token = Int32(texts.count)
        texts.append(text)
        tokens[text] = token
        return token
    }

    @inline(__always)
    func allows(_ left: Int32, _ right: Int32) -> Bool { true }

    @inline(__always)
    func precedes(_ first: UInt64, _ second: UInt64) -> Bool { first < second }
}
