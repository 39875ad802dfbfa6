import GDNTensor

/// Memory that grows without being copied where the system can move pages, and is freed with its owner. What growing adds has
/// no defined value; pages that are never touched cost nothing.
package final class ByteBuffer {
    /// The memory.
    package private(set) var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    /// No memory yet.
    package init() {}

    deinit { free(bytes.baseAddress) }

    /// Makes room for at least `count` bytes, keeping those that are there; at least doubles when it grows.
    /// - Throws: `FormatError` of the file that is read when there is no memory.
    package func reserve(_ count: Int, file: String) throws {
        guard count > bytes.count else { return }
        let size = max(count, 2 * bytes.count)
        guard let address = realloc(bytes.baseAddress, size) else {
            throw FormatError(
                file: file, rule: "a record needs \(size) bytes of memory, more than there is",
                advice: "free some, or use fewer threads")
        }
        bytes = UnsafeMutableRawBufferPointer(start: address, count: size)
    }

    /// The bytes of a range, read-only.
    package subscript(range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[range])
    }
}
