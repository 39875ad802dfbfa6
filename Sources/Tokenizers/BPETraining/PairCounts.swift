/// Numbers the pairs of symbols and counts them.
struct PairCounts {
    private var keys: [UInt64]
    private var numbers: [Int32]
    private var mask: Int
    /// By number: the pair, the left symbol in the upper half.
    private(set) var pairs: [UInt64] = []
    /// By number: how often the pair occurs.
    var counts: [Int] = []

    init() {
        keys = Array(repeating: .max, count: 1 << 12)
        numbers = Array(repeating: 0, count: 1 << 12)
        mask = (1 << 12) - 1
    }

    /// The number of a pair, a new one if it is new.
    @inline(__always)
    mutating func number(_ left: Int32, _ right: Int32) -> Int {
        let pair = UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
        var index = slot(pair)
        while keys[index] != pair {
            if keys[index] == .max {
                let number = pairs.count
                keys[index] = pair
                numbers[index] = Int32(number)
                pairs.append(pair)
                counts.append(0)
                if 2 * pairs.count > keys.count { grow() }
                return number
            }
            index = (index + 1) & mask
        }
        return Int(numbers[index])
    }

    @inline(__always)
    private func slot(_ pair: UInt64) -> Int {
        let product = pair &* 0x9e37_79b9_7f4a_7c15
        return Int(truncatingIfNeeded: (product ^ product >> 29) >> 8) & mask
    }

    private mutating func grow() {
        let size = 2 * keys.count
        keys = Array(repeating: .max, count: size)
        numbers = Array(repeating: 0, count: size)
        mask = size - 1
        for (number, pair) in pairs.enumerated() {
            var index = slot(pair)
            while keys[index] != .max { index = (index + 1) & mask }
            keys[index] = pair
            numbers[index] = Int32(number)
        }
    }
}
