import GDNTensor

/// The element types a safetensors file can hold, by their names in the file.
public enum SafetensorsDType: String, Sendable, CaseIterable {
    /// IEEE 754 double precision.
    case F64
    /// IEEE 754 single precision.
    case F32
    /// IEEE 754 half precision.
    case F16
    /// The upper half of a single.
    case BF16
    /// Eight bits, 4 of exponent.
    case F8_E4M3
    /// Eight bits, 5 of exponent.
    case F8_E5M2
    /// Eight bits of exponent alone (block scales).
    case F8_E8M0
    /// Pairs of singles.
    case C64
    /// Signed 64-bit integers.
    case I64
    /// Signed 32-bit integers.
    case I32
    /// Signed 16-bit integers.
    case I16
    /// Signed bytes.
    case I8
    /// Unsigned 64-bit integers.
    case U64
    /// Unsigned 32-bit integers.
    case U32
    /// Unsigned 16-bit integers.
    case U16
    /// Bytes.
    case U8
    /// One byte each, 0 or 1.
    case BOOL

    /// Size of one element in bytes.
    public var byteCount: Int {
        switch self {
        case .F64, .C64, .I64, .U64: 8
        case .F32, .I32, .U32: 4
        case .F16, .BF16, .I16, .U16: 2
        case .F8_E4M3, .F8_E5M2, .F8_E8M0, .I8, .U8, .BOOL: 1
        }
    }

    /// The same type as a tensor has it; nil when tensors do not have it.
    public var tensorType: DType? {
        switch self {
        case .F32: .float32
        case .BF16: .bfloat16
        case .F16: .float16
        case .I32: .int32
        case .U8: .uint8
        default: nil
        }
    }

    /// The type under which a tensor's elements are stored.
    public init(_ dtype: DType) {
        switch dtype {
        case .float32: self = .F32
        case .bfloat16: self = .BF16
        case .float16: self = .F16
        case .int32: self = .I32
        case .uint8: self = .U8
        }
    }
}
