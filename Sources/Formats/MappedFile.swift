import GDNTensor

/// The bytes of a file, mapped into memory: pages are read when they are touched and may be dropped again.
///
/// Nothing ever reaches the file: the pages are read-only, or private copies once they are written to. The file may be renamed
/// or removed while it is mapped, but not shortened in place (touching the lost part would end the process); this
/// project replaces files by renaming only.
package final class MappedFile: @unchecked Sendable {
    /// The path as given.
    package let path: String
    /// All bytes of the file, mapped for as long as this object lives; `read` keeps it alive meanwhile.
    package let bytes: UnsafeMutableRawBufferPointer

    /// Maps a regular file.
    /// - Parameters:
    ///   - path: the file
    ///   - writable: the bytes may be written to in memory; swap space is not reserved for that, so that a model larger
    ///     than main memory can still be mapped
    /// - Throws: `FormatError` when the file is missing, unreadable or no regular file.
    package init(_ path: String, writable: Bool = false) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FormatError.system("stat", file: path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw FormatError(file: path, rule: "not a regular file", advice: "name a file, not a folder or a device")
        }
        self.path = path
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)
            return
        }
        let protection = writable ? PROT_READ | PROT_WRITE : PROT_READ
        let address = mmap(nil, count, protection, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0)
        guard let address, address != MAP_FAILED else { throw FormatError.system("mmap", file: path) }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    deinit {
        if let address = bytes.baseAddress { munmap(address, bytes.count) }
    }

    /// The bytes of a range that lies inside the file.
    package func read<Result>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result {
        try withExtendedLifetime(self) {
            try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[range]))
        }
    }
}
