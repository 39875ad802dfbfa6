/// Length and CRC-32C of a run of bytes. Those of the runs that a file was read in, on whatever threads, join to the file's:
/// a file needs no second pass for its checksum.
///
/// It finds damage and tells files apart that changed by themselves or by mistake; it is no defence against forgery.
package struct RunChecksum: Sendable, Codable, Equatable {
    /// Bytes of the run.
    package private(set) var bytes = 0
    /// CRC-32C of them.
    package private(set) var value: UInt32 = 0

    /// The checksum of nothing.
    package init() {}

    /// A checksum that is known already.
    package init(bytes: Int, value: UInt32) { (self.bytes, self.value) = (bytes, value) }

    /// The checksum of this run and the one behind it.
    package func joined(with next: RunChecksum) -> RunChecksum {
        RunChecksum(bytes: bytes + next.bytes, value: CRC32C.combined(value, next.value, count: next.bytes))
    }

    /// The checksum as manifests have it: `crc32c:` and 8 hexadecimal digits.
    package var text: String {
        let digits = String(value, radix: 16)
        return "crc32c:" + String(repeating: "0", count: 8 - digits.count) + digits
    }

    /// The checksum of a file.
    /// - Throws: `FormatError` when it cannot be read.
    package init(of path: String) throws {
        let file = try InputFile(path, summing: 0..<Int.max)
        try file.readToEnd()
        self = file.checksum
    }
}

extension InputFile {
    /// Reads what is left, for its checksum.
    /// - Throws: `FormatError` when it cannot be read.
    package func readToEnd() throws {
        let buffer = ByteBuffer()
        try buffer.reserve(1 << 16, file: path)
        while try read(into: buffer.bytes) > 0 {}
    }
}
