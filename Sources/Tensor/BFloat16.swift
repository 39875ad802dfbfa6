/// A brain floating-point number: the upper 16 bits of a `Float`.
///
/// Swift has no such type of its own. Conversion rounds to nearest, ties to even; NaN stays NaN.
public struct BFloat16: Sendable, Equatable {
    /// The 16 bits as stored.
    public var bitPattern: UInt16

    /// The number with these stored bits.
    public init(bitPattern: UInt16) {
        self.bitPattern = bitPattern
    }

    /// The nearest bfloat16 to a single.
    public init(_ value: Float) {
        let bits = value.bitPattern
        if value.isNaN {
            bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x40
        } else {
            let rounding = 0x7fff &+ ((bits >> 16) & 1)
            bitPattern = UInt16(truncatingIfNeeded: (bits &+ rounding) >> 16)
        }
    }

    /// The same number as a single; always exact.
    public var float: Float {
        Float(bitPattern: UInt32(bitPattern) << 16)
    }
}
