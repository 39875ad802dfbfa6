/// A contiguous array of one dtype on one device.
///
/// Copies share storage. There are no strides: a tensor is its shape, row-major, and a slice is taken of the
/// outermost dimension only, where it stays contiguous.
public struct Tensor: @unchecked Sendable {
    /// Extents, outermost first.
    public let shape: Shape
    /// Element type.
    public let dtype: DType
    /// The bytes, possibly shared with other tensors.
    package var storage: Storage
    /// Offset of the first element inside the storage.
    package let byteOffset: Int

    /// A tensor over a part of a storage. The part must lie inside it.
    package init(shape: Shape, dtype: DType, storage: Storage, byteOffset: Int = 0) {
        assert(byteOffset >= 0 && byteOffset + shape.count * dtype.byteCount <= storage.byteCount)
        self.shape = shape
        self.dtype = dtype
        self.storage = storage
        self.byteOffset = byteOffset
    }

    /// Where the elements live.
    public var device: Device { storage.device }
    /// Number of elements.
    public var count: Int { shape.count }
    /// Size of all elements in bytes.
    public var byteCount: Int { shape.count * dtype.byteCount }

    /// Address of the first element (on the tensor's device).
    package var address: UnsafeMutableRawPointer { storage.address + byteOffset }

    /// Elements as singles. Main memory and float32 only.
    package var floats: UnsafeMutablePointer<Float> {
        assert(dtype == .float32 && device == .cpu)
        return address.assumingMemoryBound(to: Float.self)
    }

    /// Elements as 32-bit integers. Main memory and int32 only.
    package var int32s: UnsafeMutablePointer<Int32> {
        assert(dtype == .int32 && device == .cpu)
        return address.assumingMemoryBound(to: Int32.self)
    }

    /// Elements as raw bfloat16 bits. Main memory and bfloat16 only.
    package var bfloat16Bits: UnsafeMutablePointer<UInt16> {
        assert(dtype == .bfloat16 && device == .cpu)
        return address.assumingMemoryBound(to: UInt16.self)
    }

    /// The same elements under another shape of equal count.
    package func reshaped(_ shape: Shape) -> Tensor {
        assert(shape.count == count)
        return Tensor(shape: shape, dtype: dtype, storage: storage, byteOffset: byteOffset)
    }

    /// Elements `range` of the outermost dimension, sharing storage.
    package func slice(_ range: Range<Int>) -> Tensor {
        let row = shape.dims.dropFirst().reduce(1, *)
        return Tensor(
            shape: Shape([range.count] + shape.dims.dropFirst()), dtype: dtype, storage: storage,
            byteOffset: byteOffset + range.lowerBound * row * dtype.byteCount)
    }

    /// Elements in row-major order as singles, whatever the floating-point dtype. Main memory only.
    public func floatArray() -> [Float] {
        switch dtype {
        case .float32: return Array(UnsafeBufferPointer(start: floats, count: count))
        case .bfloat16:
            return UnsafeBufferPointer(start: bfloat16Bits, count: count).map { BFloat16(bitPattern: $0).float }
        case .float16:
            return (0..<count).map { index in
                let bits = address.load(fromByteOffset: index * 2, as: UInt16.self)
                return halfToFloat(bits)
            }
        case .int32: return UnsafeBufferPointer(start: int32s, count: count).map { Float($0) }
        case .uint8: return UnsafeRawBufferPointer(start: address, count: count).map { Float($0) }
        }
    }

    /// Elements in row-major order as integers. Main memory and int32 only.
    public func int32Array() -> [Int32] {
        Array(UnsafeBufferPointer(start: int32s, count: count))
    }
}

/// IEEE 754 half bits to a single, without relying on a `Float16` type (absent on some platforms).
package func halfToFloat(_ bits: UInt16) -> Float {
    let sign = UInt32(bits & 0x8000) << 16
    let exponent = UInt32(bits >> 10) & 0x1f
    let mantissa = UInt32(bits & 0x3ff)
    switch exponent {
    case 0: return Float(sign: sign == 0 ? .plus : .minus, exponent: -24, significand: Float(mantissa))
    case 31: return Float(bitPattern: sign | 0x7f80_0000 | mantissa << 13)
    default: return Float(bitPattern: sign | (exponent + 112) << 23 | mantissa << 13)
    }
}
