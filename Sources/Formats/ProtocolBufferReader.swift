/// A protocol buffer being read, field by field (https://protobuf.dev/programming-guides/encoding).
///
/// Every length is checked against the bytes at hand before anything is taken, so that damaged or hostile bytes end in
/// an error and never in a wrong access or a large allocation. Groups (wire types 3 and 4) are refused: no format read
/// here has them.
package struct ProtocolBufferReader {
    /// One field: its number and what it holds.
    package struct Field {
        /// The field's number.
        package let number: Int
        /// What the field holds, by wire type.
        package let value: Value
    }

    /// A value by wire type; the message's definition says what it means.
    package enum Value {
        /// Wire type 0: integers, booleans and enumerations.
        case variable(UInt64)
        /// Wire type 1.
        case eightBytes(UInt64)
        /// Wire type 2: texts, bytes and messages, as a range of the whole buffer.
        case bytes(Range<Int>)
        /// Wire type 5.
        case fourBytes(UInt32)
    }

    private let bytes: UnsafeRawBufferPointer
    private var position: Int
    private let end: Int
    private let file: String

    /// A reader of a whole message, or of one inside.
    /// - Parameters:
    ///   - bytes: the whole buffer, which must outlive the reader
    ///   - range: where the message lies; all of it by default
    ///   - file: the file's name, for errors
    package init(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>? = nil, file: String) {
        let range = (range ?? 0..<bytes.count).clamped(to: 0..<bytes.count)
        self.bytes = bytes
        self.file = file
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field; nil at the end.
    /// - Throws: `FormatError` when the bytes are no protocol buffer.
    package mutating func next() throws -> Field? {
        guard position < end else { return nil }
        let key = try variable()
        let number = key >> 3
        guard number >= 1, number < 1 << 29 else { throw refuse("field number \(number) is not in 1 ..< 2^29") }
        let value: Value
        switch key & 7 {
        case 0: value = .variable(try variable())
        case 1: value = .eightBytes(UInt64(littleEndian: try fixed(UInt64.self)))
        case 5: value = .fourBytes(UInt32(littleEndian: try fixed(UInt32.self)))
        case 2:
            let length = try variable()
            guard length <= UInt64(end - position) else {
                throw refuse("a field of \(length) bytes stands where \(end - position) are left")
            }
            value = .bytes(position..<position + Int(length))
            position += Int(length)
        default: throw refuse("wire type \(key & 7) is not one of 0, 1, 2, 5")
        }
        return Field(number: Int(number), value: value)
    }

    /// The error of a rule broken at the present place.
    package func refuse(_ rule: String) -> FormatError {
        FormatError(
            file: file, part: "byte \(position)", rule: rule,
            advice: "the file is damaged or of another kind: take it again from where it came from")
    }

    private mutating func variable() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: 0, to: 70, by: 7) {
            guard position < end else { throw refuse("the message ends inside a number") }
            let byte = bytes[position]
            position += 1
            guard shift < 63 || byte <= 1 else { throw refuse("a number has more than 64 bits") }
            value |= UInt64(byte & 0x7f) << UInt64(shift)
            if byte < 0x80 { return value }
        }
        throw refuse("a number has more than ten bytes")
    }

    private mutating func fixed<Number: FixedWidthInteger>(_ type: Number.Type) throws -> Number {
        let size = MemoryLayout<Number>.size
        guard end - position >= size else { throw refuse("the message ends inside a number") }
        defer { position += size }
        return bytes.loadUnaligned(fromByteOffset: position, as: type)
    }
}

extension ProtocolBufferReader.Value {
    /// The number of a `bool`, `int32` or enumeration field; nil when the field is no such.
    package var integer: Int? {
        if case .variable(let value) = self { Int(Int32(truncatingIfNeeded: value)) } else { nil }
    }

    /// The number of a `float` field; nil when the field is no such.
    package var float: Float? {
        if case .fourBytes(let bits) = self { Float(bitPattern: bits) } else { nil }
    }

    /// Where a text, bytes or message lie; nil when the field is no such.
    package var range: Range<Int>? {
        if case .bytes(let range) = self { range } else { nil }
    }
}
