import GatedDeltaNet

/// A file, or standard input as `-`, as bytes.
struct TextSource {
    private let path: String

    init(_ path: String) { self.path = path }

    /// Runs `body` with all bytes.
    func read(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard path != "-" else { return try standardInput().withUnsafeBytes(body) }
        let file = try MappedFile(path)
        try file.read(0..<file.bytes.count, body)
    }

    private func standardInput() throws -> [UInt8] {
        var (bytes, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 1 << 16))
        while true {
            let count = buffer.withUnsafeMutableBytes { Glibc.read(0, $0.baseAddress, $0.count) }
            if count > 0 {
                bytes += buffer[..<count]
            } else if count == 0 {
                return bytes
            } else if errno != EINTR {
                throw FormatError.system("read", file: "standard input")
            }
        }
    }
}

/// Where bytes go: a file, or standard output as the shell has opened it.
struct ByteSink {
    private let file: OutputFile?

    /// Creates the file, or empties it; nil stands for standard output.
    init(_ path: String?) throws { file = try path.map { try OutputFile($0) } }

    /// Appends bytes.
    func write(_ bytes: [UInt8]) throws {
        if let file { return try file.write(bytes) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
            if count > 0 {
                rest = rest.dropFirst(count)
            } else if errno != EINTR {
                throw FormatError.system("write", file: "standard output")
            }
        }
    }
}

/// Texts that lie in memory: parts of a file, or texts of their own.
struct TextList {
    private let bytes: UnsafeRawBufferPointer?
    private let ranges: [Range<Int>]
    private let own: [[UInt8]]

    /// Parts of bytes that outlive this value.
    init(_ bytes: UnsafeRawBufferPointer, _ ranges: [Range<Int>]) {
        (self.bytes, self.ranges, own) = (bytes, ranges, [])
    }

    /// Texts that came out of JSON.
    init(_ texts: [[UInt8]]) {
        (bytes, ranges, own) = (nil, [], texts)
    }

    /// Runs `body` with all texts.
    func withSlices(_ body: ([UnsafeRawBufferPointer]) throws -> Void) throws {
        if let bytes { return try body(ranges.map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }) }
        var joined: [UInt8] = []
        var places: [Range<Int>] = []
        for text in own {
            places.append(joined.count..<joined.count + text.count)
            joined += text
        }
        try joined.withUnsafeBytes { all in try body(places.map { UnsafeRawBufferPointer(rebasing: all[$0]) }) }
    }

    /// Where the lines of bytes lie, without their newlines.
    static func lines(_ bytes: UnsafeRawBufferPointer) -> [Range<Int>] {
        var (lines, start) = ([Range<Int>](), 0)
        for index in 0..<bytes.count where bytes[index] == 0x0a {
            lines.append(start..<index)
            start = index + 1
        }
        if start < bytes.count { lines.append(start..<bytes.count) }
        return lines
    }
}
