/// A seeded generator of random numbers (xoshiro256++, seeded through SplitMix64).
///
/// Passed in wherever randomness is needed; its state can be stored and restored, so that a resumed run draws
/// what the uninterrupted one would have drawn.
public struct Random: RandomNumberGenerator, Sendable, Codable, Equatable {
    private var state: [UInt64]

    /// A generator determined by its seed alone.
    public init(seed: UInt64) {
        var z = seed
        state = (0..<4).map { _ in
            z &+= 0x9e37_79b9_7f4a_7c15
            var x = z
            x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
            x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
            return x ^ (x >> 31)
        }
    }

    /// A generator independent of this one and of all others with another `stream` number.
    public static func stream(seed: UInt64, _ stream: UInt64) -> Random {
        var first = Random(seed: seed)
        let base = first.next()
        return Random(seed: base ^ (stream &* 0xd134_2543_de82_ef95))
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        let sum = state[0] &+ state[3]
        let result = ((sum << 23) | (sum >> 41)) &+ state[0]
        let t = state[1] << 17
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= t
        state[3] = (state[3] << 45) | (state[3] >> 19)
        return result
    }

    /// A number in [0, 1) with 53 random bits.
    public mutating func uniform() -> Double {
        Double(next() >> 11) * 0x1p-53
    }

    /// A number in [low, high).
    public mutating func uniform(_ low: Double, _ high: Double) -> Double {
        low + (high - low) * uniform()
    }

    /// A standard normal number (Box–Muller, one of the pair).
    public mutating func normal() -> Double {
        let u = 1 - uniform()
        let v = uniform()
        return (-2 * log(u)).squareRoot() * cos(2 * .pi * v)
    }

    /// An integer in 0..<bound.
    public mutating func index(below bound: Int) -> Int {
        Int(next(upperBound: UInt64(bound)))
    }
}
