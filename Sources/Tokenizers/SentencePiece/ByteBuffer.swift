/// Bytes that grow at their end and keep their memory when they are emptied.
///
/// Eight bytes behind the end may always be read, so that words can be read eight bytes at a time.
struct ByteBuffer: ~Copyable {
    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 1 << 12) {
        self.capacity = capacity
        base = .allocate(capacity: capacity + 8)
        base.initialize(repeating: 0, count: capacity + 8)
    }

    deinit { base.deallocate() }

    /// The bytes, valid until more are appended.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Makes room for `more` bytes.
    @inline(__always)
    mutating func reserve(_ more: Int) {
        if capacity - count < more { grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = max(2 * capacity, count + more)
        let new = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted + 8)
        new.update(from: base, count: count)
        (new + count).initialize(repeating: 0, count: wanted + 8 - count)
        base.deallocate()
        (base, capacity) = (new, wanted)
    }

    /// Appends a byte, for which room was made.
    @inline(__always)
    mutating func push(_ byte: UInt8) {
        base[count] = byte
        count += 1
    }

    /// Appends bytes.
    @inline(__always)
    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        for byte in bytes { push(byte) }
    }

    /// Appends one byte.
    mutating func append(byte: UInt8) {
        reserve(1)
        push(byte)
    }

    /// Drops bytes at the end.
    mutating func removeLast(_ length: Int) { count -= min(length, count) }

    /// Drops all bytes.
    mutating func truncate() { count = 0 }

    /// Drops all bytes, and memory beyond 16 MiB.
    mutating func removeAll() {
        count = 0
        if capacity > 16 << 20 { self = ByteBuffer() }
    }
}
