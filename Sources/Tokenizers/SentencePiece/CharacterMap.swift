import GDNFormats

/// SentencePiece's rules for characters (`precompiled_charsmap`): the longest rule that fits is replaced.
///
///     u32 size of the double array in bytes | double array of u32 units | replacements, each ended by a zero byte
///
/// A unit of the double array (Darts-clone) holds a label in bits 0–7 and 31, whether a rule ends here in bit 8, and
/// where its children lie in bits 10–30, shifted by 8 more if bit 9 is set; a unit with bit 31 set holds a value in the
/// other 31 bits: where the replacement begins. Every index is checked, so that damaged rules find nothing.
struct CharacterMap: Sendable {
    private let units: [UInt32]
    private let replacements: [UInt8]

    /// Reads the rules.
    /// - Throws: `FormatError` when the sizes do not fit.
    init(_ blob: [UInt8], file: String) throws {
        let size = blob.withUnsafeBytes {
            $0.count < 4 ? 0 : Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)))
        }
        guard size >= 4, size % 4 == 0, size < blob.count - 4 else {
            throw FormatError(
                file: file, part: "precompiled_charsmap",
                rule: "a double array of \(size) bytes does not fit into \(blob.count) bytes",
                advice: "take the file again from where it came from")
        }
        units = blob.withUnsafeBytes { bytes in
            (0..<size / 4).map {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 + 4 * $0, as: UInt32.self))
            }
        }
        replacements = Array(blob[(4 + size)...])
        guard replacements.last == 0 else {
            throw FormatError(
                file: file, part: "precompiled_charsmap", rule: "the last replacement has no end",
                advice: "take the file again from where it came from")
        }
    }

    /// The longest rule at the beginning of `text`.
    /// - Returns: how many bytes it replaces, and where in `replacements` the bytes for them lie; nil for no rule.
    func longest(_ text: UnsafeRawBufferPointer) -> (length: Int, replacement: Range<Int>)? {
        units.withUnsafeBufferPointer { units in
            var found: (length: Int, start: Int)?
            var index = Self.offset(units[0])
            for (position, byte) in text.enumerated() {
                index ^= Int(byte)
                guard index < units.count, units[index] & 0x8000_00ff == UInt32(byte) else { break }
                let unit = units[index]
                index ^= Self.offset(unit)
                if unit & 0x100 != 0, index < units.count {
                    found = (position + 1, Int(units[index] & 0x7fff_ffff))
                }
            }
            guard let found, found.start < replacements.count else { return nil }
            let end = replacements[found.start...].firstIndex(of: 0) ?? replacements.count
            return (found.length, found.start..<end)
        }
    }

    /// The bytes of a replacement.
    func withReplacement<Result>(_ range: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        replacements.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// The bytes that no rule begins with, unless one with a byte from 0x80 on follows them: they stand for themselves.
    var plainBytes: [Bool] {
        (0..<256).map { first in
            guard first < 0x80 else { return false }
            guard longest([UInt8(first)]) == nil else { return false }
            return !(0..<0x80).contains { continues(UInt8(first), UInt8($0)) }
        }
    }

    private func longest(_ bytes: [UInt8]) -> Int? { bytes.withUnsafeBytes { longest($0)?.length } }

    /// Whether the double array goes on from `first` with `second`.
    private func continues(_ first: UInt8, _ second: UInt8) -> Bool {
        var index = Self.offset(units[0]) ^ Int(first)
        guard index < units.count, units[index] & 0x8000_00ff == UInt32(first) else { return false }
        index ^= Self.offset(units[index]) ^ Int(second)
        return index < units.count && units[index] & 0x8000_00ff == UInt32(second)
    }

    private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }
}
