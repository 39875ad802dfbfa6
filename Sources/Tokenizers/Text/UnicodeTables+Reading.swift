/// Reads the numbers of `UnicodeTables`: five bits a character, the lowest first, the sixth says that more follow.
struct UnicodeTableReader {
    private var pointer: UnsafePointer<UInt8>
    private let end: UnsafePointer<UInt8>
    /// The code point that gaps count from.
    private(set) var place = 0

    init(_ table: StaticString) {
        pointer = table.utf8Start
        end = pointer + table.utf8CodeUnitCount
    }

    var isAtEnd: Bool { pointer == end }

    /// The next number.
    mutating func number() -> Int {
        var (value, shift) = (0, 0)
        while pointer < end {
            let digit = Int(pointer.pointee) - (pointer.pointee < 0x5c ? 0x23 : 0x24)
            pointer += 1
            value |= (digit & 31) << shift
            guard digit & 32 != 0 else { break }
            shift += 5
        }
        return value
    }

    /// The next number as a gap: moves `place` on by it.
    mutating func gap() -> Int {
        place += number()
        return place
    }
}
