import GDNTensor

/// A random order of 0 ..< count that is computed, not stored: element i in constant time and memory.
///
/// A Feistel network over the smallest even number of bits that holds `count` is a bijection whatever its round
/// function; numbers beyond `count` are sent through again until they fall below it, which keeps it a bijection of
/// 0 ..< count (cycle walking, Black and Rogaway 2002) and takes at most four passes on average.
package struct WindowOrder: Sendable {
    package let count: Int
    private let halfBits: UInt64
    private let keys: [UInt64]

    /// An order decided by the seed and the number of a stream of random numbers.
    package init(count: Int, seed: UInt64, stream: UInt64) {
        self.count = count
        var bits: UInt64 = 2
        while bits < 62, 1 << bits < UInt64(count) { bits += 2 }
        halfBits = bits / 2
        var random = Random.stream(seed: seed, stream)
        keys = (0..<6).map { _ in random.next() }
    }

    package subscript(index: Int) -> Int {
        precondition(index >= 0 && index < count)
        var number = UInt64(index)
        repeat { number = permuted(number) } while number >= UInt64(count)
        return Int(number)
    }

    private func permuted(_ number: UInt64) -> UInt64 {
        let mask: UInt64 = 1 << halfBits - 1
        var (left, right) = (number >> halfBits, number & mask)
        for key in keys {
            var mixed = (right ^ key) &* 0x9e37_79b9_7f4a_7c15
            mixed = (mixed ^ mixed >> 32) &* 0xd6e8_feb8_6659_fd93
            (left, right) = (right, left ^ (mixed >> 32 & mask))
        }
        return left << halfBits | right
    }
}
