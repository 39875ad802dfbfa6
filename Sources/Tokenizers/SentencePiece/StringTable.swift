/// Finds byte strings by any part of a longer one, without copying the part.
///
/// The hash of a string is a polynomial in its bytes modulo 2^64, so that the hash of every part of a text follows from
/// its prefixes' sums in constant time; equal hashes are settled by comparing the bytes.
struct StringTable {
    /// The sums of a text's prefixes.
    struct Sums {
        fileprivate var prefixes: [UInt64] = [0]
        fileprivate var powers: [UInt64] = [1]

        init(_ text: [UInt8]) {
            prefixes.reserveCapacity(text.count + 1)
            powers.reserveCapacity(text.count + 1)
            for (index, byte) in text.enumerated() {
                prefixes.append(prefixes[index] &* StringTable.multiplier &+ UInt64(byte) &+ 1)
                powers.append(powers[index] &* StringTable.multiplier)
            }
        }

        fileprivate func hash(_ range: Range<Int>) -> UInt64 {
            prefixes[range.upperBound] &- prefixes[range.lowerBound] &* powers[range.count]
        }
    }

    private static let multiplier: UInt64 = 0xd6e8_feb8_6659_fd93
    private let strings: [(key: [UInt8], value: Int32)]
    /// By hash: the first string with it, counted from 1 and 0 for none; then the next by string.
    private var first: [Int32]
    private var next: [Int32]

    /// A table of strings with a number each.
    init(_ strings: [(key: [UInt8], value: Int32)]) {
        self.strings = strings
        var size = 16
        while size < 2 * strings.count { size *= 2 }
        first = Array(repeating: 0, count: size)
        next = Array(repeating: 0, count: strings.count)
        for (index, string) in strings.enumerated() {
            var hash: UInt64 = 0
            for byte in string.key { hash = hash &* Self.multiplier &+ UInt64(byte) &+ 1 }
            let place = place(hash)
            next[index] = first[place]
            first[place] = Int32(index + 1)
        }
    }

    /// The number of the string that equals a part of `text`.
    func value(of text: [UInt8], _ range: Range<Int>, _ sums: Sums) -> Int32? {
        var index = Int(first[place(sums.hash(range))])
        while index > 0 {
            let string = strings[index - 1]
            if string.key.count == range.count, string.key.elementsEqual(text[range]) { return string.value }
            index = Int(next[index - 1])
        }
        return nil
    }

    private func place(_ hash: UInt64) -> Int {
        Int(truncatingIfNeeded: ((hash ^ hash >> 32) &* 0x9e37_79b9_7f4a_7c15) >> 20) & (first.count - 1)
    }
}
