/// Remembers the tokens of words.
///
/// When it is full it forgets everything and begins anew; frequent words are back soon.
struct WordCache: ~Copyable {
    /// The longest word kept, in bytes.
    static let longestWord = 64
    private static let places = 1 << 17
    private static let arenaBytes = 8 << 20

    /// One word: its hash's upper half, and where it lies in the arena, tokens first.
    private struct Place {
        var tag: UInt32
        var offset: UInt32
        var length: UInt16
        var tokens: UInt16
    }

    private let table: UnsafeMutablePointer<Place>
    private var arena: ByteBuffer
    private var used = 0

    init() {
        table = .allocate(capacity: Self.places)
        table.initialize(repeating: Place(tag: 0, offset: 0, length: 0, tokens: 0), count: Self.places)
        arena = ByteBuffer(capacity: 1 << 16)
    }

    deinit { table.deallocate() }

    /// The hash of a word; up to seven bytes behind it are read, and have no part in it.
    @inline(__always)
    static func hash(_ word: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
        let raw = UnsafeRawPointer(word)
        var hash = UInt64(truncatingIfNeeded: length) &* 0x9e37_79b9_7f4a_7c15
        var offset = 0
        while offset < length {
            let left = length - offset
            var part = raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian
            if left < 8 { part &= (1 << UInt64(8 * left)) &- 1 }
            hash = (hash ^ part) &* 0xd6e8_feb8_6659_fd93
            hash ^= hash >> 32
            offset += 8
        }
        return hash
    }

    /// The tokens of a word, valid until another is kept.
    @inline(__always)
    func tokens(of word: UnsafePointer<UInt8>, _ length: Int, _ hash: UInt64) -> UnsafeBufferPointer<Int32>? {
        var index = Int(truncatingIfNeeded: hash) & (Self.places - 1)
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        while table[index].length != 0 {
            let place = table[index]
            if place.tag == tag, Int(place.length) == length {
                let start = UnsafeRawPointer(arena.base) + Int(place.offset)
                let text = start + 4 * Int(place.tokens)
                if Self.areEqual(text, UnsafeRawPointer(word), length) {
                    return UnsafeBufferPointer(
                        start: start.assumingMemoryBound(to: Int32.self), count: Int(place.tokens))
                }
            }
            index = (index + 1) & (Self.places - 1)
        }
        return nil
    }

    /// Keeps a word that is not there yet, of at most `longestWord` bytes.
    mutating func keep(
        _ word: UnsafePointer<UInt8>, _ length: Int, _ hash: UInt64, _ tokens: UnsafeBufferPointer<Int32>
    ) {
        guard length > 0, length <= Self.longestWord, tokens.count <= Int(UInt16.max) else { return }
        if 2 * used >= Self.places || arena.count > Self.arenaBytes { forget() }
        var index = Int(truncatingIfNeeded: hash) & (Self.places - 1)
        while table[index].length != 0 { index = (index + 1) & (Self.places - 1) }
        table[index] = Place(
            tag: UInt32(truncatingIfNeeded: hash >> 32), offset: UInt32(arena.count), length: UInt16(length),
            tokens: UInt16(tokens.count))
        used += 1
        arena.append(UnsafeRawBufferPointer(tokens))
        arena.append(UnsafeRawBufferPointer(start: word, count: length))
        while arena.count & 3 != 0 { arena.append(byte: 0) }
    }

    private mutating func forget() {
        table.update(repeating: Place(tag: 0, offset: 0, length: 0, tokens: 0), count: Self.places)
        arena.truncate()
        used = 0
    }

    @inline(__always)
    private static func areEqual(_ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ length: Int) -> Bool {
        var offset = 0
        while offset < length {
            var difference =
                left.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                ^ right.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            if length - offset < 8 { difference &= UInt64(littleEndian: (1 << UInt64(8 * (length - offset))) &- 1) }
            if difference != 0 { return false }
            offset += 8
        }
        return true
    }
}
