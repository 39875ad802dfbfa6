/// A hash table from whole numbers to whole numbers; built once, then only read.
///
/// Open addressing with linear probing, at most half full.
struct IntegerTable: Sendable {
    /// One place; free when the key is all ones.
    private struct Place: Sendable {
        var key: UInt64
        var value: UInt64
    }

    private var places: [Place]
    private var shift: UInt64
    private var count = 0

    /// An empty table.
    init(capacity: Int = 16) {
        let bits = max(4, Int.bitWidth - (2 * capacity - 1).leadingZeroBitCount)
        places = Array(repeating: Place(key: .max, value: 0), count: 1 << bits)
        shift = UInt64(64 - bits)
    }

    /// Sets a value; the key must not be all ones.
    mutating func set(_ key: UInt64, _ value: UInt64) {
        if 2 * (count + 1) > places.count { grow() }
        let index = places.withUnsafeBufferPointer { Self.find(key, $0, shift) }
        if places[index].key == .max { count += 1 }
        places[index] = Place(key: key, value: value)
    }

    /// The value of a key.
    @inline(__always)
    func value(_ key: UInt64) -> UInt64? {
        places.withUnsafeBufferPointer { places in
            let place = places[Self.find(key, places, shift)]
            return place.key == key ? place.value : nil
        }
    }

    private mutating func grow() {
        var larger = IntegerTable(capacity: places.count)
        for place in places where place.key != .max { larger.set(place.key, place.value) }
        self = larger
    }

    @inline(__always)
    private static func find(_ key: UInt64, _ places: UnsafeBufferPointer<Place>, _ shift: UInt64) -> Int {
        var index = Int(truncatingIfNeeded: ((key ^ key >> 29) &* 0x9e37_79b9_7f4a_7c15) >> shift)
        while places[index].key != key, places[index].key != .max { index = (index + 1) & (places.count - 1) }
        return index
    }
}
