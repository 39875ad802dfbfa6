import GDNFormats

/// Each byte is its own token; behind them at most one special token, the end of a document.
public struct ByteTokenizer: Tokenizer {
    /// Number of tokens, unused ones included.
    public let vocabularySize: Int
    /// 256, or nil.
    public let endOfDocument: Int32?
    /// None.
    public var beginOfDocument: Int32? { nil }
    /// None.
    public var padding: Int32? { nil }

    /// A tokenizer of bytes.
    /// - Parameters:
    ///   - endOfDocument: whether token 256 marks the end of a document
    ///   - vocabularySize: at least 256, or 257 with an end of document (which is the default)
    /// - Throws: `FormatError` when the vocabulary is too small.
    public init(endOfDocument: Bool = false, vocabularySize: Int? = nil) throws {
        let least = endOfDocument ? 257 : 256
        self.vocabularySize = vocabularySize ?? least
        self.endOfDocument = endOfDocument ? 256 : nil
        guard self.vocabularySize >= least, self.vocabularySize <= Int(Int32.max) else {
            throw FormatError(
                file: "", part: "byte tokenizer",
                rule: "a vocabulary of \(self.vocabularySize) cannot hold \(least) tokens",
                advice: "set the vocabulary size to at least \(least)")
        }
    }

    /// The keys of `gdn_tokenizer.json`.
    public var configuration: JSONObject {
        [
            "format": "gdn-tokenizer", "version": 1, "type": "byte", "vocabulary_size": .integer(vocabularySize),
            "end_of_document": endOfDocument.map { .integer(Int($0)) } ?? .null,
        ]
    }

    /// Appends a token for each byte.
    public func encode(_ bytes: UnsafeRawBufferPointer, into tokens: inout [Int32]) {
        tokens.reserveCapacity(tokens.count + bytes.count)
        for byte in bytes { tokens.append(Int32(byte)) }
    }

    /// Anywhere.
    public func cut(_ bytes: UnsafeRawBufferPointer, from index: Int) -> Int? {
        index > 0 && index < bytes.count ? index : nil
    }

    /// The byte itself; nothing for tokens from 256 on.
    public func bytes(of token: Int32) -> [UInt8] {
        UInt8(exactly: token).map { [$0] } ?? []
    }
}

extension ByteTokenizer {
    /// The tokenizer of a configuration with `type: byte`.
    init(_ configuration: JSONObject, file: String) throws {
        let end = configuration["end_of_document"] ?? .null
        guard let size = configuration["vocabulary_size"]?.integer, end == .null || end == .integer(256) else {
            throw FormatError(
                file: file, rule: "a byte tokenizer has a whole vocabulary_size, and 256 or null as end_of_document",
                advice: "take the file from the checkpoint it belongs to")
        }
        do {
            try self.init(endOfDocument: end != .null, vocabularySize: size)
        } catch let error as FormatError {
            throw FormatError(file: file, part: error.part, rule: error.rule, advice: error.advice)
        }
    }
}
