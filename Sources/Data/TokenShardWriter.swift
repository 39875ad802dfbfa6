import GDNFormats
import GDNTensor

/// Writes a token shard, document by document; the same documents give the same bytes.
package final class TokenShardWriter {
    /// Tokens so far.
    package private(set) var tokenCount = 0
    /// Documents so far.
    package var documentCount: Int { boundaries.count - 1 }

    private let path: String
    private let temporary: String
    private let vocabularySize: Int
    private let tokenizer: [UInt8]
    private let width: Int
    private let file: OutputFile
    private var boundaries: [UInt64] = [0]
    private var textBytes = 0
    private var sum = CRC32C()
    private var isFinished = false

    deinit {
        if !isFinished { unlink(temporary) }
    }

    /// Begins a shard, under a temporary name until `finish`.
    /// - Parameters:
    ///   - path: the file
    ///   - vocabularySize: all tokens are below it; up to 65,536 a token takes two bytes, else four
    ///   - tokenizer: the tokenizer's identity, 64 hexadecimal digits
    /// - Throws: `FormatError` when the file cannot be written.
    package init(_ path: String, vocabularySize: Int, tokenizer: String) throws {
        let digits = tokenizer.compactMap(\.hexDigitValue)
        guard digits.count == 64, tokenizer.count == 64, vocabularySize <= Int(Int32.max) else {
            throw FormatError(
                file: path,
                rule: "tokenizer identity \"\(tokenizer)\" or vocabulary \(vocabularySize) cannot be stored",
                advice: "use a tokenizer of this package")
        }
        self.path = path
        self.vocabularySize = vocabularySize
        self.tokenizer = (0..<32).map { UInt8(digits[2 * $0] * 16 + digits[2 * $0 + 1]) }
        width = vocabularySize <= 1 << 16 ? 2 : 4
        temporary = "\(path).tmp-\(getpid())"
        file = try OutputFile(temporary)
        try file.write([UInt8](repeating: 0, count: TokenShard.headerCount))
    }

    /// Appends a document; one without tokens leaves no trace.
    /// - Throws: `FormatError` when a token is outside the vocabulary, or the file cannot be written.
    package func append(_ tokens: [Int32], textBytes: Int) throws {
        guard !tokens.isEmpty else { return }
        let bad = tokens.first { $0 < 0 || Int($0) >= vocabularySize }
        if let bad {
            throw FormatError(
                file: path, part: "document \(documentCount)",
                rule: "token \(bad) is outside the vocabulary of \(vocabularySize)",
                advice: "the tokenizer does not fit its vocabulary")
        }
        if width == 2 {
            try tokens.map { UInt16(truncatingIfNeeded: $0).littleEndian }.withUnsafeBytes { try write($0) }
        } else {
            try tokens.map(\.littleEndian).withUnsafeBytes { try write($0) }
        }
        tokenCount += tokens.count
        boundaries.append(UInt64(tokenCount))
        self.textBytes += textBytes
    }

    /// Writes what comes behind the tokens and the header, makes the file durable and gives it its name.
    package func finish() throws {
        try [UInt8](repeating: 0, count: (8 - tokenCount * width % 8) % 8).withUnsafeBytes { try write($0) }
        try boundaries.map(\.littleEndian).withUnsafeBytes { try write($0) }
        var header = TokenShard.magic
        func append(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { header += $0 }
        }
        append(TokenShard.version)
        append(UInt32(width))
        append(UInt64(tokenCount))
        append(UInt64(documentCount))
        append(UInt64(textBytes))
        append(UInt32(vocabularySize))
        append(sum.value)
        header += tokenizer
        header += [UInt8](repeating: 0, count: 12)
        append(CRC32C.checksum(header))
        try file.overwrite(header, at: 0)
        try file.finish()
        guard rename(temporary, path) == 0 else { throw FormatError.system("rename", file: path) }
        isFinished = true
        try OutputFile.makeFolderDurable(of: path)
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws {
        sum.update(bytes)
        try file.write(bytes)
    }
}
