import GDNFormatsKernels
import GDNTensor

/// SHA-256 (FIPS 180-4): tells tokenizers apart.
public struct SHA256 {
    private var state: [UInt32] = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var pending: [UInt8] = []
    private var byteCount: UInt64 = 0

    private let usesInstructions: Bool

    /// The digest of nothing yet.
    public init() { self.init(usingInstructions: true) }

    /// The digest of nothing yet, computed with the processor's own instructions where that is wanted and it has them.
    package init(usingInstructions: Bool) {
        usesInstructions = usingInstructions && hasInstructions
    }

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
        let whole = rest.count / 64 * 64
        if whole > 0 { compress(UnsafeRawBufferPointer(rebasing: rest.prefix(whole))) }
        pending += rest.dropFirst(whole)
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

    private mutating func compress(_ blocks: UnsafeRawBufferPointer) {
        gdn_sha256_blocks(&state, blocks.baseAddress, blocks.count / 64, usesInstructions ? 1 : 0)
    }
}

private let hasInstructions = gdn_sha256_has_instructions() != 0
