/// What stands at a place of bytes that may or may not be UTF-8 (Unicode standard, table 3-7).
package enum UTF8Sequence: Equatable {
    /// A whole character of this many bytes.
    case valid(Int)
    /// No character: this many bytes are replaced by one U+FFFD.
    case invalid(Int)
    /// The bytes end inside a character, of which there are this many.
    case open(Int)

    /// Looks at the bytes from `index` on.
    package init(_ bytes: UnsafeRawBufferPointer, at index: Int) {
        let lead = bytes[index]
        let second: ClosedRange<UInt8>
        let length: Int
        switch lead {
        case 0..<0x80: (second, length) = (0...0, 1)
        case 0xc2...0xdf: (second, length) = (0x80...0xbf, 2)
        case 0xe0: (second, length) = (0xa0...0xbf, 3)
        case 0xed: (second, length) = (0x80...0x9f, 3)
        case 0xe1...0xef: (second, length) = (0x80...0xbf, 3)
        case 0xf0: (second, length) = (0x90...0xbf, 4)
        case 0xf1...0xf3: (second, length) = (0x80...0xbf, 4)
        case 0xf4: (second, length) = (0x80...0x8f, 4)
        default:
            self = .invalid(1)
            return
        }
        for step in 1..<max(length, 1) {
            guard index + step < bytes.count else {
                self = .open(step)
                return
            }
            let range = step == 1 ? second : 0x80...0xbf
            guard range.contains(bytes[index + step]) else {
                self = .invalid(step)
                return
            }
        }
        self = .valid(length)
    }

    /// The bytes with U+FFFD in place of what is no UTF-8, as `String(decoding:as:)` has it, or one for each such byte,
    /// and how many there are.
    package static func repaired(
        _ bytes: UnsafeRawBufferPointer, eachByte: Bool = false
    ) -> (bytes: [UInt8], replacements: Int) {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var (index, replacements) = (0, 0)
        while index < bytes.count {
            switch UTF8Sequence(bytes, at: index) {
            case .valid(let length):
                result += bytes[index..<index + length]
                index += length
            case .invalid(let length), .open(let length):
                result += [0xef, 0xbf, 0xbd]
                replacements += 1
                index += eachByte ? 1 : length
            }
        }
        return (result, replacements)
    }
}
