import GDNTensor

/// Size and checksum of a file's content.
package struct FileDigest: Sendable, Equatable {
    /// Size in bytes.
    package let byteCount: Int
    /// XXH64 of the content, hexadecimal.
    package let checksum: String

    /// A digest from its parts.
    package init(byteCount: Int, checksum: String) {
        self.byteCount = byteCount
        self.checksum = checksum
    }

    /// The digest of a file as it lies on the disk.
    /// - Throws: `FormatError` when it cannot be read.
    package init(of path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FormatError.system("open", file: path) }
        defer { _ = close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = XXH64()
        var total = 0
        while true {
            let count = read(descriptor, buffer.baseAddress, buffer.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                throw FormatError.system("read", file: path)
            }
            hash.update(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            total += count
        }
        self.init(byteCount: total, checksum: hash.text)
    }
}
