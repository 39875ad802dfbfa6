import GDNFormatsKernels
import GDNTensor

/// A file being written, front to back.
package final class OutputFile {
    private let path: String
    private var descriptor: Int32
    /// Bytes written that the system has not been told to bring to the disk.
    private var unsent = 0
    private var end = 0

    /// Creates the file, or empties it.
    /// - Throws: `FormatError` when that is not allowed.
    package init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FormatError.system("open for writing", file: path) }
    }

    /// Opens a file to go on behind its first `count` bytes; what is behind them is cut off.
    /// - Throws: `FormatError` when the file is missing or shorter.
    package init(continuing path: String, at count: Int) throws {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open for writing", file: path) }
        let size = lseek(descriptor, 0, SEEK_END)
        guard size >= count else {
            throw FormatError(
                file: path, rule: "has \(size) bytes, \(count) were written before", advice: "begin again")
        }
        guard ftruncate(descriptor, off_t(count)) == 0, lseek(descriptor, off_t(count), SEEK_SET) == off_t(count)
        else { throw FormatError.system("ftruncate", file: path) }
        end = count
    }

    deinit {
        if descriptor >= 0 { _ = close(descriptor) }
    }

    /// Appends bytes.
    /// - Throws: `FormatError`, also when the disk is full.
    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        let error = writeAll(bytes, to: descriptor)
        guard error == 0 else { throw FormatError.system("write", file: path, error) }
        (end, unsent) = (end + bytes.count, unsent + bytes.count)
        if unsent >= Self.sent { send() }
    }

    /// Bytes that are sent to the disk at a time.
    private static let sent = 1 << 23

    /// Tells the system to begin bringing what was written to the disk, and does not wait: else all of it would be left for
    /// `synchronize`, and everybody would wait for that. Advice only.
    private func send() {
        gdn_begin_writing(descriptor, Int64(end - unsent), Int64(unsent))
        unsent = 0
    }

    /// Appends bytes.
    package func write(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try write($0) }
    }

    /// Writes over bytes that were written before.
    package func overwrite(_ bytes: [UInt8], at offset: Int) throws {
        let count = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
        guard count == bytes.count else { throw FormatError.system("write", file: path) }
    }

    /// Makes what was written durable.
    package func synchronize() throws {
        guard fsync(descriptor) == 0 else { throw FormatError.system("fsync", file: path) }
    }

    /// Makes what was written durable, and closes.
    package func finish() throws {
        try synchronize()
        let closing = descriptor
        descriptor = -1
        guard close(closing) == 0 else { throw FormatError.system("close", file: path) }
    }

    /// Writes a whole file under a temporary name beside `path`, makes it durable and renames it: readers see the
    /// old file or the new one, never a part. A device or a pipe is written to as it is.
    package static func replace(_ path: String, _ body: (OutputFile) throws -> Void) throws {
        // Renamed over /dev/null a file would take the device away from everybody.
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG, status.st_mode & S_IFMT != S_IFDIR {
            return try body(OutputFile(path))
        }
        let temporary = "\(path).tmp-\(getpid())"
        do {
            let file = try OutputFile(temporary)
            try body(file)
            try file.finish()
            guard rename(temporary, path) == 0 else { throw FormatError.system("rename", file: path) }
        } catch {
            unlink(temporary)
            throw error
        }
        try makeFolderDurable(of: path)
    }

    /// Makes the entry of `path` in its folder durable (after a rename).
    package static func makeFolderDurable(of path: String) throws {
        let folder = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: folder) }
        defer { _ = close(descriptor) }
        // Some file systems know no fsync of a folder and say so with EINVAL; they have nothing to flush.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw FormatError.system("fsync", file: folder) }
    }

}
