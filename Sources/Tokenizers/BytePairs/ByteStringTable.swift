/// Tokens by their bytes and bytes by their token, in flat memory.
struct ByteStringTable: Sendable {
    private var memory: [UInt8] = []
    private var starts: [Int] = []
    private var lengths: [Int32] = []
    /// Token of each slot plus one, 0 for a free one.
    private var slots: [Int32]
    private var used = 0

    /// A table for about this many strings.
    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        slots = [Int32](repeating: 0, count: size)
    }

    /// One more than the largest token.
    var count: Int { starts.count }

    /// The bytes of a token; nil when the token is not there.
    func bytes(_ token: Int32) -> ArraySlice<UInt8>? {
        guard token >= 0, token < starts.count, lengths[Int(token)] >= 0 else { return nil }
        let start = starts[Int(token)]
        return memory[start..<start + Int(lengths[Int(token)])]
    }

    /// Adds a token, or replaces its bytes.
    /// - Parameter findable: whether `token(of:)` shall find it; of two with equal bytes the first is found
    mutating func insert(_ bytes: UnsafeRawBufferPointer, token: Int32, findable: Bool = true) {
        while starts.count <= token {
            starts.append(0)
            lengths.append(-1)
        }
        starts[Int(token)] = memory.count
        lengths[Int(token)] = Int32(bytes.count)
        memory += bytes
        guard findable else { return }
        if (used + 1) * 2 > slots.count { grow() }
        let place = slot(bytes)
        if slots[place] == 0 {
            slots[place] = token + 1
            used += 1
        }
    }

    /// The token of these bytes.
    func token(of bytes: UnsafeRawBufferPointer) -> Int32? {
        let found = slots[slot(bytes)]
        return found == 0 ? nil : found - 1
    }

    private func slot(_ bytes: UnsafeRawBufferPointer) -> Int {
        let mask = slots.count - 1
        return memory.withUnsafeBytes { memory in
            var place = Self.hash(bytes) & mask
            while slots[place] != 0 {
                let token = Int(slots[place] - 1)
                if Int(lengths[token]) == bytes.count, bytes.count == 0 || Self.equal(memory, starts[token], bytes) {
                    break
                }
                place = (place + 1) & mask
            }
            return place
        }
    }

    private mutating func grow() {
        let old = slots.filter { $0 != 0 }
        slots = [Int32](repeating: 0, count: slots.count * 2)
        let mask = slots.count - 1
        for entry in old {
            let (start, length) = (starts[Int(entry - 1)], Int(lengths[Int(entry - 1)]))
            var place = memory.withUnsafeBytes { Self.hash(.init(rebasing: $0[start..<start + length])) } & mask
            while slots[place] != 0 { place = (place + 1) & mask }
            slots[place] = entry
        }
    }

    @inline(__always)
    private static func equal(_ memory: UnsafeRawBufferPointer, _ start: Int, _ bytes: UnsafeRawBufferPointer) -> Bool {
        for index in 0..<bytes.count where memory[start &+ index] != bytes[index] { return false }
        return true
    }

    /// FNV-1a with a final mix.
    @inline(__always)
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        value ^= value >> 32
        return Int(truncatingIfNeeded: value & 0x7fff_ffff_ffff)
    }
}
