import GDNTensor

/// Cuts a stream into lines, with no more memory than the longest line takes.
package struct LineReader {
    /// A line without its newline.
    package enum Line {
        /// Its bytes, valid until the next line is read.
        case bytes(UnsafeMutableRawBufferPointer)
        /// A line of this many bytes was longer than allowed and was not kept.
        case tooLong(Int)
    }

    /// Bytes read at a time.
    private static let step = 1 << 16
    private let source: any ByteStream
    private let path: String
    private let longest: Int
    private let buffer = ByteBuffer()
    /// What is read and not yet given out.
    private var held = 0..<0
    /// The bytes of `held` that are known to have no newline.
    private var searched = 0
    private var hasEnded = false
    /// Bytes read from the source and given out as lines, newlines counted.
    package private(set) var consumed = 0

    /// Reads lines from `source`.
    /// - Parameters:
    ///   - path: the file, for errors
    ///   - longest: the most bytes of a line that are kept
    package init(_ source: any ByteStream, path: String, longest: Int) throws {
        self.source = source
        self.path = path
        self.longest = longest
        try buffer.reserve(Self.step, file: path)
    }

    /// The next line; nil behind the last. A newline at the very end begins no further line.
    package mutating func next() throws -> Line? {
        while true {
            if let end = newline() {
                let line = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[held.lowerBound..<end])
                advance(to: end + 1)
                return line.count > longest ? .tooLong(line.count) : .bytes(line)
            }
            searched = held.count
            if hasEnded {
                guard !held.isEmpty else { return nil }
                let line = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[held])
                advance(to: held.upperBound)
                return line.count > longest ? .tooLong(line.count) : .bytes(line)
            }
            if held.count > longest { return .tooLong(try passOver()) }
            try fill()
        }
    }

    private func newline() -> Int? {
        let rest = buffer[held.lowerBound + searched..<held.upperBound]
        guard let start = rest.baseAddress, let found = memchr(start, 0x0a, rest.count) else { return nil }
        return held.lowerBound + searched + (UnsafeRawPointer(found) - start)
    }

    private mutating func advance(to end: Int) {
        consumed += end - held.lowerBound
        held = end..<held.upperBound
        searched = 0
    }

    /// Reads more behind what is held, after moving that to the front or making room.
    private mutating func fill() throws {
        if held.lowerBound > 0 {
            buffer.bytes.copyMemory(from: buffer[held])
            held = 0..<held.count
        }
        if held.upperBound == buffer.bytes.count { try buffer.reserve(held.upperBound + 1, file: path) }
        // Not all the room there is: a buffer that grew for one long line would leave the processor's cache for good.
        let room = buffer.bytes[held.upperBound...].prefix(Self.step)
        let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: room))
        held = 0..<(held.upperBound + count)
        hasEnded = count == 0
    }

    /// Drops the rest of the line at hand, piece by piece; returns its length.
    private mutating func passOver() throws -> Int {
        var length = 0
        while true {
            let end = newline() ?? held.upperBound
            length += end - held.lowerBound
            if end < held.upperBound {
                advance(to: end + 1)
                return length
            }
            advance(to: end)
            if hasEnded { return length }
            try fill()
        }
    }
}
