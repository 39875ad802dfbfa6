/// Skips many numbers of a generator's sequence at once, so that parts of it can be drawn in parallel.
///
/// A step of the generator is linear over its 256 bits of state. The matrix of 2ⁿ steps comes from n squarings.
package struct RandomJump: Sendable {
    /// Images of the 256 unit states, four words each.
    private var columns: [UInt64]

    /// A jump over 2 to the power of `exponent` numbers.
    package init(exponent: Int) {
        columns = (0..<256).flatMap { bit in
            var words: [UInt64] = [0, 0, 0, 0]
            words[bit / 64] = 1 << UInt64(bit % 64)
            var random = Random(words: words)
            _ = random.next()
            return random.words
        }
        for _ in 0..<exponent {
            columns = (0..<256).flatMap { applied(Array(columns[4 * $0..<4 * $0 + 4])) }
        }
    }

    /// The generator as it will be after the jump.
    package func applied(to random: Random) -> Random { Random(words: applied(random.words)) }

    private func applied(_ words: [UInt64]) -> [UInt64] {
        var (a, b, c, d): (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        columns.withUnsafeBufferPointer { columns in
            for (index, word) in words.enumerated() {
                var rest = word
                while rest != 0 {
                    let column = 4 * (64 * index + rest.trailingZeroBitCount)
                    a ^= columns[column]
                    b ^= columns[column + 1]
                    c ^= columns[column + 2]
                    d ^= columns[column + 3]
                    rest &= rest - 1
                }
            }
        }
        return [a, b, c, d]
    }
}
