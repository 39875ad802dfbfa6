/// How often each word occurs: a hash table of byte strings with a sum each.
struct WordCounts: ~Copyable {
    private struct Place {
        var hash: UInt32
        var length: UInt32
        /// Where the word lies in `arena`.
        var start: Int
        /// 0 for a free place.
        var count: Int
    }

    /// Counts that can be handed on.
    final class Box: @unchecked Sendable {
        var counts = WordCounts()
    }

    private var places: UnsafeMutablePointer<Place>
    private var capacity: Int
    private(set) var count = 0
    private var arena = ByteBuffer(capacity: 1 << 16)

    init() {
        capacity = 1 << 12
        places = Self.free(capacity)
    }

    deinit { places.deallocate() }

    /// Adds to a word's count.
    @inline(__always)
    mutating func add(_ word: UnsafePointer<UInt8>, _ length: Int, times: Int = 1) {
        let hash = Self.hash(word, length)
        var index = Int(truncatingIfNeeded: hash) & (capacity - 1)
        let tag = UInt32(truncatingIfNeeded: hash >> 32)
        while places[index].count > 0 {
            if places[index].hash == tag, Int(places[index].length) == length,
                Self.areEqual(arena.base + places[index].start, word, length)
            {
                places[index].count += times
                return
            }
            index = (index + 1) & (capacity - 1)
        }
        places[index] = Place(hash: tag, length: UInt32(length), start: arena.count, count: times)
        arena.append(UnsafeRawBufferPointer(start: word, count: length))
        count += 1
        if 2 * count > capacity { grow() }
    }

    /// Calls `body` with each word and its count, in no particular order.
    func each(_ body: (UnsafePointer<UInt8>, Int, Int) -> Void) {
        for index in 0..<capacity where places[index].count > 0 {
            body(UnsafePointer(arena.base + places[index].start), Int(places[index].length), places[index].count)
        }
    }

    /// Adds all counts of another table.
    mutating func add(_ other: borrowing WordCounts) {
        for index in 0..<other.capacity where other.places[index].count > 0 {
            let place = other.places[index]
            add(UnsafePointer(other.arena.base + place.start), Int(place.length), times: place.count)
        }
    }

    private mutating func grow() {
        let (old, oldCapacity) = (places, capacity)
        capacity *= 2
        places = Self.free(capacity)
        for place in UnsafeBufferPointer(start: old, count: oldCapacity) where place.count > 0 {
            let hash = Self.hash(UnsafePointer(arena.base + place.start), Int(place.length))
            var index = Int(truncatingIfNeeded: hash) & (capacity - 1)
            while places[index].count > 0 { index = (index + 1) & (capacity - 1) }
            places[index] = place
        }
        old.deallocate()
    }

    private static func free(_ capacity: Int) -> UnsafeMutablePointer<Place> {
        let places = UnsafeMutablePointer<Place>.allocate(capacity: capacity)
        places.initialize(repeating: Place(hash: 0, length: 0, start: 0, count: 0), count: capacity)
        return places
    }

    @inline(__always)
    private static func hash(_ word: UnsafePointer<UInt8>, _ length: Int) -> UInt64 {
        var hash = UInt64(truncatingIfNeeded: length) &* 0x9e37_79b9_7f4a_7c15
        let raw = UnsafeRawPointer(word)
        var offset = 0
        while offset + 8 <= length {
            hash = mix(hash ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self).littleEndian)
            offset += 8
        }
        var tail: UInt64 = 0
        while offset < length {
            tail = tail << 8 | UInt64(word[offset])
            offset += 1
        }
        return mix(hash ^ tail)
    }

    @inline(__always)
    private static func mix(_ value: UInt64) -> UInt64 {
        let product = value &* 0xd6e8_feb8_6659_fd93
        return product ^ product >> 32
    }

    @inline(__always)
    private static func areEqual(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        var offset = 0
        while offset < length {
            if left[offset] != right[offset] { return false }
            offset += 1
        }
        return true
    }
}
