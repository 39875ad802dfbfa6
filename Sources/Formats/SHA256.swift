import GDNTensor

/// SHA-256 (FIPS 180-4): names contents in manifests and tells tokenizers apart.
public struct SHA256 {
    private var state: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var pending: [UInt8] = []
    private var byteCount: UInt64 = 0
    private var schedule = [UInt32](repeating: 0, count: 64)

    /// The digest of nothing yet.
    public init() {}

    /// Takes in more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        byteCount += UInt64(bytes.count)
        var rest = bytes[...]
        if !pending.isEmpty {
            let missing = rest.prefix(64 - pending.count)
            pending += missing
            rest = rest.dropFirst(missing.count)
            guard pending.count == 64 else { return }
            let block = pending
            pending = []
            block.withUnsafeBytes { compress($0) }
        }
        while rest.count >= 64 {
            compress(UnsafeRawBufferPointer(rebasing: rest.prefix(64)))
            rest = rest.dropFirst(64)
        }
        pending += rest
    }

    /// Takes in more bytes.
    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest of everything taken in: 64 hexadecimal digits.
    public func digest() -> String {
        var last = self
        let bits = byteCount &* 8
        last.update([0x80])
        last.update([UInt8](repeating: 0, count: (120 - last.pending.count) % 64))
        withUnsafeBytes(of: bits.bigEndian) { last.update($0) }
        return last.state.map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    /// The digest of bytes.
    public static func digest(_ bytes: [UInt8]) -> String {
        var sum = SHA256()
        sum.update(bytes)
        return sum.digest()
    }

    /// The digest of a file's bytes.
    /// - Throws: `FormatError` when the file cannot be read.
    public static func digest(contentsOf path: String) throws -> String {
        let file = try MappedFile(path)
        var sum = SHA256()
        file.read(0..<file.bytes.count) { sum.update($0) }
        return sum.digest()
    }

    private mutating func compress(_ block: UnsafeRawBufferPointer) {
        func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 - n) }
        schedule.withUnsafeMutableBufferPointer { w in
            for t in 0..<16 { w[t] = UInt32(bigEndian: block.loadUnaligned(fromByteOffset: t * 4, as: UInt32.self)) }
            for t in 16..<64 {
                let s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3
                let s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10
                w[t] = w[t - 16] &+ s0 &+ w[t - 7] &+ s1
            }
        }
        var (a, b, c, d) = (state[0], state[1], state[2], state[3])
        var (e, f, g, h) = (state[4], state[5], state[6], state[7])
        schedule.withUnsafeBufferPointer { w in
            roundConstants.withUnsafeBufferPointer { k in
                for t in 0..<64 {
                    let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
                    let first = h &+ s1 &+ (e & f ^ ~e & g) &+ k[t] &+ w[t]
                    let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
                    let second = s0 &+ (a & b ^ a & c ^ b & c)
                    (h, g, f, e, d, c, b, a) = (g, f, e, d &+ first, c, b, a, first &+ second)
                }
            }
        }
        for (index, value) in [a, b, c, d, e, f, g, h].enumerated() { state[index] &+= value }
    }
}

/// The first 32 bits behind the point of the cube roots of the first 64 primes (FIPS 180-4, section 4.2.2). A double
/// gives 50 bits behind the point of these roots, and none of them lies within its error of a step of the 32nd.
private let roundConstants: [UInt32] = (2...311)
    .filter { number in !(2..<number).contains { number % $0 == 0 } }
    .map { prime in
        let root = cbrt(Double(prime))
        return UInt32((root - root.rounded(.down)) * 0x1p32)
    }
