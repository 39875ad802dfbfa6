/// The printable characters that stand for bytes in the vocabulary of a byte-level tokenizer (GPT-2's table).
///
/// Printable bytes of Latin-1 stand for themselves, the others for U+0100, U+0101, … in their order.
package enum ByteAlphabet {
    /// The code point of each byte.
    package static let scalars: [UInt32] = {
        var (scalars, spare) = ([UInt32](), UInt32(0x100))
        for byte in UInt32(0)..<256 {
            if (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || byte >= 0xae {
                scalars.append(byte)
            } else {
                scalars.append(spare)
                spare += 1
            }
        }
        return scalars
    }()

    /// The byte of each code point below 0x144, -1 for none.
    private static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = Int16(byte) }
        return bytes
    }()

    /// The bytes that a token's text stands for; nil when it has other characters.
    /// - Parameter text: UTF-8
    package static func decode(_ text: UnsafeRawBufferPointer, into result: inout [UInt8]) -> Bool {
        result.removeAll(keepingCapacity: true)
        var index = 0
        while index < text.count {
            var code = Int(text[index])
            index += 1
            if code >= 0xc2, code < 0xe0, index < text.count {
                code = (code & 31) << 6 | Int(text[index] & 63)
                index += 1
            } else if code >= 0x80 {
                return false
            }
            guard code < bytes.count, bytes[code] >= 0 else { return false }
            result.append(UInt8(truncatingIfNeeded: bytes[code]))
        }
        return true
    }

    /// The text that stands for bytes.
    package static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text = ""
        for byte in bytes { if let scalar = Unicode.Scalar(scalars[Int(byte)]) { text.unicodeScalars.append(scalar) } }
        return text
    }
}
