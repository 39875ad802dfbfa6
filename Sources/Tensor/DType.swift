/// The element types a tensor can have.
public enum DType: String, Sendable, Codable, CaseIterable {
    /// IEEE 754 single precision.
    case float32
    /// Upper half of a single: 8 exponent bits, 7 stored mantissa bits.
    case bfloat16
    /// IEEE 754 half precision.
    case float16
    /// Signed 32-bit integers: tokens, positions.
    case int32
    /// Bytes.
    case uint8

    /// Size of one element in bytes.
    public var byteCount: Int {
        switch self {
        case .float32, .int32: 4
        case .bfloat16, .float16: 2
        case .uint8: 1
        }
    }

    /// Whether elements are floating-point numbers.
    public var isFloatingPoint: Bool {
        switch self {
        case .float32, .bfloat16, .float16: true
        case .int32, .uint8: false
        }
    }
}
