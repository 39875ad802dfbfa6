/// A protocol buffer being written: fields by number (https://protobuf.dev/programming-guides/encoding).
package struct ProtocolBuffer {
    /// What was written so far.
    package private(set) var bytes: [UInt8] = []

    /// An empty message.
    package init() {}

    /// Appends an integer, truth value or enumeration.
    package mutating func integer(_ field: Int, _ value: Int) {
        key(field, 0)
        variable(UInt64(bitPattern: Int64(value)))
    }

    /// Appends a `double`.
    package mutating func double(_ field: Int, _ value: Double) {
        key(field, 1)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
    }

    /// Appends a `float`.
    package mutating func float(_ field: Int, _ value: Float) {
        key(field, 5)
        withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 }
    }

    /// Appends a text.
    package mutating func text(_ field: Int, _ value: String) {
        bytes(field, Array(value.utf8))
    }

    /// Appends bytes.
    package mutating func bytes(_ field: Int, _ value: [UInt8]) {
        key(field, 2)
        variable(UInt64(value.count))
        bytes += value
    }

    /// Appends a message.
    package mutating func message(_ field: Int, _ body: (inout ProtocolBuffer) -> Void) {
        var inner = ProtocolBuffer()
        body(&inner)
        bytes(field, inner.bytes)
    }

    private mutating func key(_ field: Int, _ type: UInt64) {
        variable(UInt64(field) << 3 | type)
    }

    private mutating func variable(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}
