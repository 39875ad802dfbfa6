/// How a file is compressed as a whole.
package enum Compression: String, Sendable, Codable {
    /// Not at all.
    case plain
    /// gzip, any number of members.
    case gzip
    /// Zstandard, any number of frames.
    case zstandard

    /// Bytes that tell the compression apart.
    package static let magicLength = 4

    /// What the first bytes of a file say.
    package init(magic bytes: UnsafeRawBufferPointer) {
        let start = bytes.prefix(Self.magicLength)
        // A skippable frame, with which a Zstandard file may begin, has 0x50 … 0x5f first.
        let skippable = start.count == 4 && start[0] & 0xf0 == 0x50 && start[1...].elementsEqual([0x2a, 0x4d, 0x18])
        if start.starts(with: [0x1f, 0x8b]) {
            self = .gzip
        } else if start.elementsEqual([0x28, 0xb5, 0x2f, 0xfd]) || skippable {
            self = .zstandard
        } else {
            self = .plain
        }
    }

    /// What `source` holds.
    /// - Parameter path: the file, for errors
    /// - Throws: `FormatError` when the library is missing.
    package func decompressed(_ source: any ByteStream, path: String) throws -> any ByteStream {
        switch self {
        case .plain: source
        case .gzip: try GzipStream(source, path: path)
        case .zstandard: try ZstandardStream(source, path: path)
        }
    }
}

/// A stream whose first bytes can be looked at before they are read.
package final class PeekableStream: ByteStream {
    private let source: any ByteStream
    private let path: String
    private let buffer = ByteBuffer()
    private var held = 0..<0

    /// A stream over `source`.
    package init(_ source: any ByteStream, path: String) {
        self.source = source
        self.path = path
    }

    /// The next bytes, which are read again afterwards: `count` of them, or all there are.
    package func peek(_ count: Int) throws -> UnsafeRawBufferPointer {
        try buffer.reserve(max(count, held.upperBound), file: path)
        while held.count < count, held.upperBound < buffer.bytes.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[held.upperBound...])
            let read = try source.read(into: rest)
            if read == 0 { break }
            held = held.lowerBound..<held.upperBound + read
        }
        return buffer[held.lowerBound..<min(held.upperBound, held.lowerBound + count)]
    }

    package func read(into target: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !held.isEmpty else { return try source.read(into: target) }
        let count = min(held.count, target.count)
        target.copyMemory(from: buffer[held.lowerBound..<held.lowerBound + count])
        held = held.lowerBound + count..<held.upperBound
        return count
    }
}
