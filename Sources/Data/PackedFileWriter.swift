import GDNFormats
import GDNTensor

/// Writes a token stream as packed files of the reference implementation (see `PackedFile`).
public struct PackedFileWriter: Sendable {
    /// How a token is stored.
    public var type: PackedFile.TokenType
    /// Tokens of a file.
    public var tokensPerFile: Int
    /// The token that fills the last file up to the size of the others, which the reference implementation's reader
    /// wants; nil: the last file is shorter.
    public var filling: Int32?

    /// A writer.
    /// - Parameter type: nil: uint16 for vocabularies up to 65,536, else int32
    /// - Throws: `DataError` when the vocabulary does not fit the type or a file would have no tokens.
    public init(
        vocabularySize: Int, type: PackedFile.TokenType? = nil, tokensPerFile: Int = 1 << 28, filling: Int32? = nil
    ) throws {
        self.type = type ?? (vocabularySize <= 1 << 16 ? .uint16 : .int32)
        self.tokensPerFile = tokensPerFile
        self.filling = filling
        guard vocabularySize - 1 <= self.type.largest else {
            throw DataError(
                "packed file", "a vocabulary of \(vocabularySize) does not fit \(self.type)",
                advice: "use uint16 up to 65536 tokens, int32 beyond")
        }
        guard tokensPerFile > 0 else {
            throw DataError("packed file", "\(tokensPerFile) tokens a file", advice: "use at least 1")
        }
    }

    /// Writes `NAME_0000000000.bin`, `NAME_0000000001.bin`, … into a folder, each whole or not at all.
    /// - Returns: the files' paths.
    /// - Throws: `FormatError` when a file cannot be written, `DataError` when there is nothing to write.
    public func write(_ stream: TokenStream, into folder: String, name: String) throws -> [String] {
        guard stream.tokenCount > 0 else {
            throw DataError("packed file", "there are no tokens", advice: "prepare some data first")
        }
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw FormatError.system("mkdir", file: folder) }
        return try stride(from: 0, to: stream.tokenCount, by: tokensPerFile).enumerated().map { number, start in
            let digits = "\(number)"
            let path = "\(folder)/\(name)_\(String(repeating: "0", count: max(0, 10 - digits.count)))\(digits).bin"
            let range = start..<min(start + tokensPerFile, stream.tokenCount)
            // A stream that fits one file has no others to be as long as.
            let extra = stream.tokenCount > tokensPerFile && filling != nil ? tokensPerFile - range.count : 0
            try OutputFile.replace(path) { file in
                try file.write(header(range.count + extra))
                try body(stream, range, to: file)
                try fill(extra, to: file)
            }
            return path
        }
    }

    private func header(_ count: Int) -> [UInt8] {
        var bytes = PackedFile.magic
        withUnsafeBytes(of: PackedFile.version.littleEndian) { bytes += $0 }
        bytes.append(type.rawValue)
        withUnsafeBytes(of: UInt64(count).littleEndian) { bytes += $0 }
        return bytes
    }

    private func body(_ stream: TokenStream, _ range: Range<Int>, to file: OutputFile) throws {
        let block = 1 << 20
        for start in stride(from: range.lowerBound, to: range.upperBound, by: block) {
            let tokens = stream.tokens(start..<min(start + block, range.upperBound))
            try stream.check(tokens, from: start)
            try write(tokens, to: file)
        }
    }

    private func fill(_ count: Int, to file: OutputFile) throws {
        guard let filling, count > 0 else { return }
        let block = 1 << 20
        for start in stride(from: 0, to: count, by: block) {
            try write([Int32](repeating: filling, count: min(block, count - start)), to: file)
        }
    }

    private func write(_ tokens: [Int32], to file: OutputFile) throws {
        func write<Stored: FixedWidthInteger>(as: Stored.Type) throws {
            try tokens.map { Stored(truncatingIfNeeded: $0).littleEndian }.withUnsafeBytes { try file.write($0) }
        }
        switch type {
        case .uint8: try write(as: UInt8.self)
        case .int8: try write(as: Int8.self)
        case .int16: try write(as: Int16.self)
        case .uint16: try write(as: UInt16.self)
        case .int32: try write(as: Int32.self)
        case .int64: try write(as: Int64.self)
        }
    }
}
