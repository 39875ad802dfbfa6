import GDNTensor

/// Bytes that come front to back: of a file, of standard input, or what a decompressor makes of them.
package protocol ByteStream: AnyObject {
    /// Writes the next bytes to the beginning of `buffer`, which is not empty.
    /// - Returns: how many; 0 at the end alone.
    /// - Throws: `FormatError` when reading fails, `DamagedInput` when what is read is damaged.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

/// A file whose content breaks off or breaks a rule of its format, after a beginning that could be read.
///
/// A type of its own, because a caller may go on with what came before: unlike with a disk that cannot be read, asking
/// again would give the same.
package struct DamagedInput: Error, CustomStringConvertible {
    /// What is wrong where.
    package let error: FormatError

    init(_ path: String, part: String? = nil, _ rule: String) {
        error = FormatError(file: path, part: part, rule: rule, advice: "get the file again, or leave it out")
    }

    /// The error in words.
    package var description: String { error.description }
}

/// A file, a pipe or standard input, read in order through a descriptor: memory holds what the caller asked for, no more.
package final class InputFile: ByteStream {
    /// The path as given.
    package let path: String
    /// Bytes read so far.
    package private(set) var bytesRead = 0
    private let descriptor: Int32
    private var sum = CRC32C()
    private let start: Int
    private let summed: Range<Int>

    /// The name that stands for standard input.
    package static let standardInput = "-"

    /// Opens a file.
    /// - Parameters:
    ///   - path: the file, or `-` for standard input
    ///   - offset: the byte to begin with; 0 where the file is none that can be positioned in
    ///   - summed: the bytes of the file that `checksum` is of
    /// - Throws: `FormatError` when the file is missing or unreadable.
    package init(_ path: String, from offset: Int = 0, summing summed: Range<Int> = 0..<0) throws {
        self.path = path
        (start, self.summed) = (offset, summed)
        descriptor = path == Self.standardInput ? dup(0) : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: path) }
        guard offset == 0 || lseek(descriptor, off_t(offset), SEEK_SET) == off_t(offset) else {
            // `deinit` closes: it runs when a complete object's initialiser throws.
            throw FormatError.system("seek", file: path)
        }
        // Advice only: where it is not taken, reading is slower, not wrong.
        _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    deinit { close(descriptor) }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try Self.retrying(path) { systemRead(descriptor, buffer.baseAddress, buffer.count) }
        let position = start + bytesRead
        bytesRead += count
        let part = summed.clamped(to: position..<position + count)
        if !part.isEmpty {
            let (first, end) = (part.lowerBound - position, part.upperBound - position)
            sum.update(UnsafeRawBufferPointer(rebasing: buffer[first..<end]))
        }
        return count
    }

    /// Fills `buffer` with the bytes from `offset` on, wherever reading in order has come to.
    /// - Throws: `FormatError`, also when the file ends before the buffer is full.
    package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count = try Self.retrying(path) {
                pread(descriptor, rest.baseAddress, rest.count, off_t(offset + done))
            }
            guard count > 0 else {
                throw FormatError(
                    file: path, rule: "ends at byte \(offset + done), inside what should be read",
                    advice: "the file was shortened or not copied whole")
            }
            done += count
        }
    }

    /// Size of the file; 0 for what has none.
    package var size: Int {
        var status = stat()
        return fstat(descriptor, &status) == 0 ? Int(status.st_size) : 0
    }

    /// The checksum of the bytes read in order so far, as far as they were asked for at the beginning.
    package var checksum: RunChecksum {
        RunChecksum(bytes: summed.clamped(to: start..<start + bytesRead).count, value: sum.value)
    }

    private static func retrying(_ path: String, _ body: () -> Int) throws -> Int {
        while true {
            let count = body()
            if count >= 0 { return count }
            guard errno == EINTR else { throw FormatError.system("read", file: path) }
        }
    }
}

private func systemRead(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
    read(descriptor, buffer, count)
}
