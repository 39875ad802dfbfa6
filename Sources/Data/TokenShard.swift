import GDNFormats
import GDNTensor

/// A file of tokens with the documents' boundaries, mapped into memory.
///
/// Layout, little-endian:
///
///     0    8   "GDNTOKEN"
///     8    4   version, 1
///     12   4   bytes a token: 2 or 4
///     16   8   number of tokens n
///     24   8   number of documents d
///     32   8   bytes of text that the tokens stand for
///     40   4   size of the vocabulary: all tokens are below it
///     44   4   CRC-32C of everything from byte 96 on
///     48  32   SHA-256 of the tokenizer's configuration
///     80  12   zero
///     92   4   CRC-32C of bytes 0 ..< 92
///     96       the tokens, then zeros up to a multiple of 8
///     …        d + 1 numbers of 8 bytes: the documents' first tokens, ascending from 0, and n
public struct TokenShard: Sendable {
    /// The file.
    public let path: String
    /// Number of tokens.
    public let tokenCount: Int
    /// Number of documents.
    public let documentCount: Int
    /// Bytes of text that the tokens stand for.
    public let textBytes: Int
    /// All tokens are below this.
    public let vocabularySize: Int
    /// Identity of the tokenizer: 64 hexadecimal digits.
    public let tokenizer: String
    /// CRC-32C of the content.
    public let checksum: UInt32
    private let mapping: MappedFile
    private let width: Int
    private let boundariesStart: Int

    static let magic = Array("GDNTOKEN".utf8)
    static let version: UInt32 = 1
    static let headerCount = 96

    /// Opens a shard and checks its header, its boundaries and its size.
    /// - Parameters:
    ///   - path: the file
    ///   - verify: also reads everything, to check the checksum and that all tokens are in the vocabulary
    /// - Throws: `FormatError` with the broken rule.
    public init(_ path: String, verify: Bool = true) throws {
        let refuse = { (rule: String) in
            FormatError(file: path, rule: rule, advice: "the shard is damaged or foreign: prepare the data again")
        }
        let mapping = try MappedFile(path)
        let header = try mapping.read(0..<mapping.bytes.count) { bytes in
            try Header(bytes, refuse)
        }
        self.path = path
        self.mapping = mapping
        tokenCount = header.tokens
        documentCount = header.documents
        textBytes = header.textBytes
        vocabularySize = header.vocabulary
        tokenizer = header.tokenizer
        checksum = header.checksum
        width = header.width
        boundariesStart = header.boundariesStart
        try checkBoundaries(refuse)
        if verify { try checkContent(refuse) }
    }

    /// Copies the tokens `range` to `destination`.
    package func copy(_ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount)
        let start = Self.headerCount + range.lowerBound * width
        mapping.read(start..<start + range.count * width) { bytes in
            if width == 2 {
                for index in 0..<range.count {
                    let token = bytes.loadUnaligned(fromByteOffset: index * 2, as: UInt16.self)
                    destination[index] = Int32(UInt16(littleEndian: token))
                }
            } else {
                for index in 0..<range.count {
                    let token = bytes.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
                    destination[index] = Int32(truncatingIfNeeded: UInt32(littleEndian: token))
                }
            }
        }
    }

    /// First token of a document; of number `documentCount`, the number of tokens.
    package func boundary(_ document: Int) -> Int {
        precondition(document >= 0 && document <= documentCount)
        let start = boundariesStart + document * 8
        return mapping.read(start..<start + 8) {
            Int(clamping: UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)))
        }
    }

    /// The number of the first document that begins at `token` or behind it (`documentCount` when none does).
    package func document(from token: Int) -> Int {
        var (low, high) = (0, documentCount)
        while low < high {
            let middle = (low + high) / 2
            if boundary(middle) < token { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func checkBoundaries(_ refuse: (String) -> FormatError) throws {
        var last = 0
        for document in 0...documentCount {
            let boundary = boundary(document)
            guard document == 0 ? boundary == 0 : boundary > last else {
                throw refuse("document \(document) begins at token \(boundary), behind one that begins at \(last)")
            }
            last = boundary
        }
        guard last == tokenCount else { throw refuse("the last document ends at token \(last) of \(tokenCount)") }
    }

    private func checkContent(_ refuse: (String) -> FormatError) throws {
        var sum = CRC32C()
        mapping.read(Self.headerCount..<mapping.bytes.count) { sum.update($0) }
        guard sum.value == checksum else { throw refuse("the checksum does not fit the content") }
        let block = 1 << 16
        var tokens = [Int32](repeating: 0, count: min(block, tokenCount))
        for start in stride(from: 0, to: tokenCount, by: block) {
            let range = start..<min(start + block, tokenCount)
            tokens.withUnsafeMutableBufferPointer { buffer in
                if let address = buffer.baseAddress { copy(range, to: address) }
            }
            let bad = tokens.prefix(range.count).firstIndex { $0 < 0 || Int($0) >= vocabularySize }
            if let bad { throw refuse("token \(start + bad) is \(tokens[bad]), the vocabulary has \(vocabularySize)") }
        }
    }

    private struct Header {
        let width: Int
        let tokens: Int
        let documents: Int
        let textBytes: Int
        let vocabulary: Int
        let checksum: UInt32
        let tokenizer: String
        let boundariesStart: Int

        init(_ bytes: UnsafeRawBufferPointer, _ refuse: (String) -> FormatError) throws {
            func word(_ offset: Int) -> UInt32 {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            }
            func long(_ offset: Int) throws -> Int {
                let value = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                guard value < 1 << 56 else { throw refuse("the count \(value) at byte \(offset) is impossible") }
                return Int(value)
            }
            guard bytes.count >= headerCount else {
                throw refuse("a shard has at least \(headerCount) bytes, this file has \(bytes.count)")
            }
            guard bytes.starts(with: magic) else { throw refuse("does not begin with GDNTOKEN") }
            guard word(8) == version else { throw refuse("has version \(word(8)), this program reads \(version)") }
            var sum = CRC32C()
            sum.update(UnsafeRawBufferPointer(rebasing: bytes[..<92]))
            guard sum.value == word(92) else { throw refuse("the header's checksum does not fit") }
            guard word(12) == 2 || word(12) == 4 else { throw refuse("has \(word(12)) bytes a token, expected 2 or 4") }
            width = Int(word(12))
            tokens = try long(16)
            documents = try long(24)
            textBytes = try long(32)
            vocabulary = Int(word(40))
            checksum = word(44)
            tokenizer = bytes[48..<80].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            boundariesStart = headerCount + (tokens * width + 7) / 8 * 8
            let expected = boundariesStart + (documents + 1) * 8
            guard expected == bytes.count else {
                throw refuse("\(tokens) tokens and \(documents) documents take \(expected) bytes, not \(bytes.count)")
            }
        }
    }
}
