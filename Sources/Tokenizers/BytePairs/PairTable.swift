/// Which pairs of tokens merge, how early, and into what: a flat hash table with linear probing.
final class PairTable: @unchecked Sendable {
    /// What `merge` gives for a pair that does not merge; larger than every other value.
    static let none = UInt64.max

    /// Number of pairs.
    private(set) var count = 0
    private let slots: UnsafeMutablePointer<(key: UInt64, value: UInt64)>
    private let capacity: Int
    private let shift: UInt64

    /// A table that stays at most half full with this many pairs.
    init(capacity pairs: Int) {
        var bits = 4
        while 1 << bits < pairs * 2 { bits += 1 }
        capacity = 1 << bits
        shift = UInt64(64 - bits)
        slots = .allocate(capacity: capacity)
        slots.initialize(repeating: (.max, Self.none), count: capacity)
    }

    deinit { slots.deallocate() }

    /// Adds a pair of tokens, or replaces its merge; at most as many as the table is made for, and only while it is made.
    func insert(_ left: Int32, _ right: Int32, rank: UInt32, token: Int32) {
        let key = Self.key(left, right)
        let place = slot(key)
        if slots[place].key != key { count += 1 }
        slots[place] = (key, UInt64(rank) << 32 | UInt64(UInt32(bitPattern: token)))
    }

    /// Rank in the upper half, merged token in the lower one; `none` when the pair does not merge.
    @inline(__always)
    func merge(_ left: Int32, _ right: Int32) -> UInt64 {
        slots[slot(Self.key(left, right))].value
    }

    @inline(__always)
    private func slot(_ key: UInt64) -> Int {
        var place = Int(truncatingIfNeeded: (key &* 0x9e37_79b9_7f4a_7c15) >> shift)
        while slots[place].key != key, slots[place].key != .max { place = (place &+ 1) & (capacity &- 1) }
        return place
    }

    @inline(__always)
    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }
}
