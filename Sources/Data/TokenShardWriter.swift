import GDNFormats
import GDNTensor

/// Writes a token shard, document by document; the same documents give the same bytes.
///
/// Until `commit` the tokens are in `PATH.part` and, as far as a checkpoint was made, the documents' boundaries in
/// `PATH.boundaries`: both only grow, so a checkpoint is two lengths.
package final class TokenShardWriter {
    /// Where a shard stands that is not finished yet.
    package struct Checkpoint: Sendable, Codable, Equatable {
        /// Tokens written.
        package var tokens: Int
        /// Documents written.
        package var documents: Int
        /// Bytes of text they stand for.
        package var textBytes: Int
        /// CRC-32C of the tokens' bytes.
        package var checksum: UInt32
    }

    /// Tokens so far.
    package private(set) var tokenCount = 0
    /// Documents so far.
    package var documentCount: Int { boundaries.count - 1 }
    /// Bytes a token.
    package let width: Int

    private let path: String
    private let vocabularySize: Int
    private let tokenizer: [UInt8]
    private let file: OutputFile
    private let boundariesFile: OutputFile
    private var boundaries: [UInt64] = [0]
    private var savedBoundaries = 0
    private var textBytes = 0
    private var checksum: UInt32 = 0
    private let keepsUnfinished: Bool
    private var isCommitted = false

    deinit {
        if !isCommitted, !keepsUnfinished { Self.discard(path) }
    }

    /// Begins a shard, or goes on with one.
    /// - Parameters:
    ///   - path: the file
    ///   - vocabularySize: all tokens are below it; up to 65,536 a token takes two bytes, else four
    ///   - tokenizer: the tokenizer's identity, 64 hexadecimal digits
    ///   - checkpoint: where to go on; what was written behind it is dropped
    ///   - keepsUnfinished: a shard that is never committed stays, to be continued from a checkpoint
    /// - Throws: `FormatError` when the file cannot be written or does not hold what the checkpoint says.
    package init(
        _ path: String, vocabularySize: Int, tokenizer: String, continuing checkpoint: Checkpoint? = nil,
        keepsUnfinished: Bool = false
    ) throws {
        let digits = tokenizer.compactMap(\.hexDigitValue)
        guard digits.count == 64, tokenizer.count == 64, vocabularySize <= Int(Int32.max) else {
            throw FormatError(
                file: path,
                rule: "tokenizer identity \"\(tokenizer)\" or vocabulary \(vocabularySize) cannot be stored",
                advice: "use a tokenizer of this package")
        }
        self.path = path
        self.vocabularySize = vocabularySize
        self.keepsUnfinished = keepsUnfinished
        self.tokenizer = (0..<32).map { UInt8(digits[2 * $0] * 16 + digits[2 * $0 + 1]) }
        width = vocabularySize <= 1 << 16 ? 2 : 4
        if let checkpoint {
            // The name is final when the process ended between the shard's renaming and the next checkpoint.
            if access("\(path).part", F_OK) != 0 { rename(path, "\(path).part") }
            file = try OutputFile(
                continuing: "\(path).part", at: TokenShard.headerCount + checkpoint.tokens * width)
            boundaries += try Self.boundaries(path, checkpoint)
            boundariesFile = try OutputFile(continuing: "\(path).boundaries", at: checkpoint.documents * 8)
            savedBoundaries = checkpoint.documents
            tokenCount = checkpoint.tokens
            textBytes = checkpoint.textBytes
            checksum = checkpoint.checksum
        } else {
            file = try OutputFile("\(path).part")
            boundariesFile = try OutputFile("\(path).boundaries")
            try file.write([UInt8](repeating: 0, count: TokenShard.headerCount))
        }
    }

    /// Appends a document; one without tokens leaves no trace.
    /// - Throws: `FormatError` when a token is outside the vocabulary, or the file cannot be written.
    package func append(_ tokens: [Int32], textBytes: Int) throws {
        var packed = PackedDocuments(width: width)
        guard packed.append(tokens[...], vocabularySize: vocabularySize, textBytes: textBytes) else {
            throw FormatError(
                file: path, part: "document \(documentCount)",
                rule: "a token is outside the vocabulary of \(vocabularySize)",
                advice: "the tokenizer does not fit its vocabulary")
        }
        packed.seal()
        try append(packed)
    }

    /// Appends documents whose tokens are already as the file has them.
    package func append(_ documents: PackedDocuments) throws {
        guard !documents.lengths.isEmpty else { return }
        try file.write(documents.bytes)
        checksum = CRC32C.combined(checksum, documents.checksum, count: documents.bytes.count)
        for length in documents.lengths {
            tokenCount += length
            boundaries.append(UInt64(tokenCount))
        }
        textBytes += documents.textBytes.reduce(0, +)
    }

    /// Notes where the shard stands; what it says can be relied upon after `synchronize`.
    package func checkpoint() throws -> Checkpoint {
        try boundaries[(savedBoundaries + 1)...].map(\.littleEndian).withUnsafeBytes { try boundariesFile.write($0) }
        savedBoundaries = documentCount
        return Checkpoint(tokens: tokenCount, documents: documentCount, textBytes: textBytes, checksum: checksum)
    }

    /// Makes what was written durable. May run beside `append`.
    package func synchronize() throws {
        try file.synchronize()
        try boundariesFile.synchronize()
    }

    /// Writes what comes behind the tokens and the header; nothing can be appended any more.
    /// - Returns: the checksum of the whole file.
    @discardableResult
    package func seal() throws -> RunChecksum {
        let padding = [UInt8](repeating: 0, count: (8 - tokenCount * width % 8) % 8)
        let end = padding + boundaries.flatMap { withUnsafeBytes(of: $0.littleEndian) { Array($0) } }
        try file.write(end)
        let sum = CRC32C.combined(checksum, CRC32C.checksum(end), count: end.count)
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
        append(sum)
        header += tokenizer
        header += [UInt8](repeating: 0, count: 12)
        append(CRC32C.checksum(header))
        try file.overwrite(header, at: 0)
        let body = RunChecksum(bytes: tokenCount * width + end.count, value: sum)
        return RunChecksum(bytes: header.count, value: CRC32C.checksum(header)).joined(with: body)
    }

    /// Makes a sealed shard durable and gives it its name. Its boundaries' file is left for `discard`, because a
    /// checkpoint may still need it.
    package func commit() throws {
        try file.finish()
        guard rename("\(path).part", path) == 0 else { throw FormatError.system("rename", file: path) }
        isCommitted = true
        try OutputFile.makeFolderDurable(of: path)
    }

    /// Finishes the shard.
    package func finish() throws {
        try seal()
        try commit()
        Self.discard(path)
    }

    /// Removes what an unfinished shard of this path has left, and the boundaries of a finished one.
    package static func discard(_ path: String) {
        unlink("\(path).part")
        unlink("\(path).boundaries")
    }

    private static func boundaries(_ path: String, _ checkpoint: Checkpoint) throws -> [UInt64] {
        let file = try MappedFile("\(path).boundaries")
        let refused = FormatError(
            file: "\(path).boundaries", rule: "does not hold \(checkpoint.documents) documents of the journal",
            advice: "begin again")
        guard file.bytes.count >= checkpoint.documents * 8 else { throw refused }
        let result = file.read(0..<checkpoint.documents * 8) { bytes in
            (0..<checkpoint.documents).map {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
            }
        }
        guard (result.last ?? 0) == UInt64(checkpoint.tokens) else { throw refused }
        return result
    }
}
