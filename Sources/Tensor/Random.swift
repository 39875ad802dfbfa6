/// A seeded generator of random numbers (xoshiro256++, seeded through SplitMix64).
///
/// Passed in wherever randomness is needed; its state can be stored and restored, so that a resumed run draws
/// what the uninterrupted one would have drawn.
public struct Random: RandomNumberGenerator, Sendable, Codable, Equatable {
    private var s0, s1, s2, s3: UInt64

    private enum CodingKeys: String, CodingKey { case state }

    /// A generator determined by its seed alone.
    public init(seed: UInt64) {
        var z = seed
        func draw() -> UInt64 {
            z &+= 0x9e37_79b9_7f4a_7c15
            var x = z
            x = (x ^ (x >> 30)) &* 0xbf58_476d_1ce4_e5b9
            x = (x ^ (x >> 27)) &* 0x94d0_49bb_1331_11eb
            return x ^ (x >> 31)
        }
        (s0, s1, s2, s3) = (draw(), draw(), draw(), draw())
    }

    /// The generator whose state was stored: four numbers under `state`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let state = try container.decode([UInt64].self, forKey: .state)
        guard state.count == 4 else {
            throw DecodingError.dataCorruptedError(
                forKey: .state, in: container, debugDescription: "expected 4 numbers, found \(state.count)")
        }
        (s0, s1, s2, s3) = (state[0], state[1], state[2], state[3])
    }

    /// Stores the state as four numbers under `state`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode([s0, s1, s2, s3], forKey: .state)
    }

    /// A generator in a state of four words, not all zero.
    package init(words: [UInt64]) {
        (s0, s1, s2, s3) = (words[0], words[1], words[2], words[3])
    }

    /// The state.
    package var words: [UInt64] { [s0, s1, s2, s3] }

    /// A generator independent of this one and of all others with another `stream` number.
    public static func stream(seed: UInt64, _ stream: UInt64) -> Random {
        var first = Random(seed: seed)
        let base = first.next()
        return Random(seed: base ^ (stream &* 0xd134_2543_de82_ef95))
    }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        let sum = s0 &+ s3
        let result = ((sum << 23) | (sum >> 41)) &+ s0
        let t = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = (s3 << 45) | (s3 >> 19)
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
