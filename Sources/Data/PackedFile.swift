import GDNFormats
import GDNTensor

/// A packed token file of the reference implementation, mapped into memory.
///
/// Layout, little-endian, no padding:
///
///     0    7   "LITPKDS"
///     7    8   version, 1
///     15   1   type of a token: 1 uint8, 2 int8, 3 int16, 4 int32, 5 int64, 6 float32, 7 float64, 8 uint16
///     16   8   number of tokens n
///     24       the tokens
///
/// It says neither where documents begin nor which tokenizer made it.
public struct PackedFile: Sendable {
    /// How a token is stored.
    public enum TokenType: UInt8, Sendable, CaseIterable {
        case uint8 = 1
        case int8, int16, int32, int64
        case uint16 = 8

        /// Bytes of a token.
        public var width: Int {
            switch self {
            case .uint8, .int8: 1
            case .int16, .uint16: 2
            case .int32: 4
            case .int64: 8
            }
        }

        /// The largest token that fits (ids of this package have 31 bits).
        public var largest: Int {
            switch self {
            case .int8: Int(Int8.max)
            case .uint8: Int(UInt8.max)
            case .int16: Int(Int16.max)
            case .uint16: Int(UInt16.max)
            case .int32, .int64: Int(Int32.max)
            }
        }
    }

    /// The token that marks documents in a file without boundaries.
    public struct Separator: Sendable, Codable, Equatable {
        /// Its id.
        public var token: Int32
        /// Whether it ends a document (an end-of-document token) rather than beginning one.
        public var ends: Bool

        /// A separator; by default one that begins documents, as the reference implementation's preparations have it.
        public init(_ token: Int32, ends: Bool = false) {
            self.token = token
            self.ends = ends
        }
    }

    /// The file.
    public let path: String
    /// Number of tokens.
    public let tokenCount: Int
    /// How tokens are stored.
    public let type: TokenType
    /// All tokens should be below this.
    public let vocabularySize: Int
    /// What marks documents; nil: the file is one.
    public let separator: Separator?
    /// Names the content: counts, and a checksum of the file's first and last mebibyte.
    package let content: String
    private let mapping: MappedFile

    static let magic = Array("LITPKDS".utf8)
    static let version: UInt64 = 1
    static let headerCount = 24

    /// Opens a file and checks its header and its size.
    /// - Parameters:
    ///   - path: the file
    ///   - vocabularySize: of the tokenizer that made it
    ///   - separator: what marks documents
    ///   - verify: also reads everything, to check that all tokens are in the vocabulary
    /// - Throws: `FormatError` with the broken rule.
    public init(_ path: String, vocabularySize: Int, separator: Separator? = nil, verify: Bool = false) throws {
        let mapping = try MappedFile(path)
        self.path = path
        self.mapping = mapping
        self.vocabularySize = vocabularySize
        self.separator = separator
        let header = try mapping.read(0..<mapping.bytes.count) { try Self.header($0, file: path) }
        (type, tokenCount) = header
        let size = mapping.bytes.count
        let sum = [0..<min(size, 1 << 20), max(0, size - 1 << 20)..<size].map { range in
            var sum = CRC32C()
            mapping.read(range) { sum.update($0) }
            return sum.value
        }
        let mark = separator.map { "\($0.token)\($0.ends ? " ends" : " begins")" } ?? "no separator"
        content = "packed \(type) \(tokenCount) \(sum[0]) \(sum[1]) \(mark)"
        if verify { try checkContent() }
    }

    /// Whether a file begins like a packed file.
    public static func isPacked(_ path: String) -> Bool {
        guard let file = try? MappedFile(path), file.bytes.count >= magic.count else { return false }
        return file.read(0..<magic.count) { $0.elementsEqual(magic) }
    }

    private static func header(_ bytes: UnsafeRawBufferPointer, file: String) throws -> (TokenType, Int) {
        func refuse(_ rule: String) -> FormatError {
            FormatError(file: file, rule: rule, advice: "the packed file is damaged or foreign: copy or make it again")
        }
        func long(_ offset: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
        }
        guard bytes.count >= headerCount else {
            throw refuse("a packed file has at least \(headerCount) bytes, this one has \(bytes.count)")
        }
        guard bytes.starts(with: magic) else { throw refuse("does not begin with LITPKDS") }
        guard long(7) == version else { throw refuse("has version \(long(7)), this program reads \(version)") }
        guard let type = TokenType(rawValue: bytes[15]) else {
            let isFloat = bytes[15] == 6 || bytes[15] == 7
            throw refuse(
                isFloat
                    ? "holds floating-point numbers (type \(bytes[15])), tokens are whole"
                    : "has type \(bytes[15]), known are 1 to 8")
        }
        guard long(16) < 1 << 56, case let count = Int(long(16)), headerCount + count * type.width == bytes.count
        else {
            throw refuse("says it has \(long(16)) tokens of \(type.width) bytes, but has \(bytes.count) bytes in all")
        }
        return (type, count)
    }

    private func checkContent() throws {
        let block = 1 << 16
        var tokens = [Int32](repeating: 0, count: min(block, max(1, tokenCount)))
        for start in stride(from: 0, to: tokenCount, by: block) {
            let range = start..<min(start + block, tokenCount)
            tokens.withUnsafeMutableBufferPointer { buffer in
                if let address = buffer.baseAddress { copy(range, to: address) }
            }
            if let bad = tokens.prefix(range.count).firstIndex(where: { $0 < 0 || Int($0) >= vocabularySize }) {
                throw FormatError(
                    file: path, part: "token \(start + bad)",
                    rule: "is \(tokens[bad]), the vocabulary has \(vocabularySize)",
                    advice: "the file is damaged or of another tokenizer")
            }
        }
    }
}

extension PackedFile: TokenSegment {
    package var knownDocuments: Int? { nil }
    package var knownTextBytes: Int? { nil }
    package var knownTokenizer: String? { nil }

    package func copy(_ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount)
        switch type {
        case .uint8: convert(range, to: destination, from: UInt8.self)
        case .int8: convert(range, to: destination, from: Int8.self)
        case .int16: convert(range, to: destination, from: Int16.self)
        case .uint16: convert(range, to: destination, from: UInt16.self)
        case .int32: convert(range, to: destination, from: Int32.self)
        case .int64: convert(range, to: destination, from: Int64.self)
        }
    }

    /// Finds documents by their separators; the first token of a file begins one.
    package func documentStarts(in range: Range<Int>) -> [Int] {
        guard !range.isEmpty else { return [] }
        var starts = range.lowerBound == 0 ? [0] : []
        guard let separator else { return starts }
        // An ending separator makes the token behind it a beginning.
        let shift = separator.ends ? 1 : 0
        let low = max(1, range.lowerBound) - shift
        guard low < range.upperBound - shift else { return starts }
        let places = low..<range.upperBound - shift
        let tokens = [Int32](unsafeUninitializedCapacity: places.count) { buffer, count in
            if let address = buffer.baseAddress { copy(places, to: address) }
            count = places.count
        }
        for (index, token) in tokens.enumerated() where token == separator.token {
            starts.append(low + index + shift)
        }
        return starts
    }

    private func convert<Stored: FixedWidthInteger>(
        _ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>, from: Stored.Type
    ) {
        let width = MemoryLayout<Stored>.size
        let start = Self.headerCount + range.lowerBound * width
        mapping.read(start..<start + range.count * width) { bytes in
            for index in 0..<range.count {
                let stored = Stored(littleEndian: bytes.loadUnaligned(fromByteOffset: index * width, as: Stored.self))
                destination[index] = Int32(clamping: stored)
            }
        }
    }
}
