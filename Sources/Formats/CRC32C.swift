import GDNFormatsKernels

/// CRC-32C (Castagnoli): the checksum of TFRecord files and token shards.
public struct CRC32C {
    private var register = ReflectedCRC()
    private let usesInstruction: Bool

    /// The checksum of nothing yet.
    public init() { self.init(usingInstruction: true) }

    /// The checksum of nothing yet, computed with the processor's own instruction where that is wanted and it has one.
    package init(usingInstruction: Bool) {
        usesInstruction = usingInstruction && hasInstruction
    }

    /// Bytes from which on three parts are summed side by side; putting the sums together takes some hundred cycles.
    private static let longEnough = 1 << 13

    /// Takes in more bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard usesInstruction else { return register.update(bytes, castagnoli) }
        var rest = bytes
        if bytes.count >= Self.longEnough {
            let third = bytes.count / 24 * 8
            var sums = [~value, .max, .max]
            gdn_crc32c_thirds(&sums, bytes.baseAddress, third)
            let shift = Self.shift(third)
            let firstTwo = Self.product(shift, ~sums[0]) ^ ~sums[1]
            register = ReflectedCRC(Self.product(shift, firstTwo) ^ ~sums[2])
            rest = UnsafeRawBufferPointer(rebasing: bytes[(3 * third)...])
        }
        register = ReflectedCRC(~gdn_crc32c(~value, rest.baseAddress, rest.count))
    }

    /// Takes in more bytes.
    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The checksum of everything taken in.
    public var value: UInt32 { register.value }

    /// The checksum of bytes.
    public static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var sum = CRC32C()
        sum.update(bytes)
        return sum.value
    }
}

extension CRC32C {
    /// The checksum of two pieces one behind the other, from the checksums of each.
    ///
    /// Appending n bytes multiplies the first piece's remainder by x^8n modulo the polynomial.
    /// - Parameter count: bytes of the second piece
    package static func combined(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
        product(shift(count), first) ^ second
    }

    /// x^8n modulo the polynomial.
    private static func shift(_ count: Int) -> UInt32 {
        var (shift, rest) = (one, UInt(count))
        while rest > 0 {
            shift = product(shift, squares[rest.trailingZeroBitCount])
            rest &= rest - 1
        }
        return shift
    }

    /// x^8, its square, the square of that, …
    private static let squares = {
        var squares = [one >> 8]
        while squares.count < UInt.bitWidth {
            squares.append(product(squares[squares.count - 1], squares[squares.count - 1]))
        }
        return squares
    }()

    /// The polynomial 1; bits are reflected, the highest is the power 0.
    private static let one: UInt32 = 1 << 31

    /// The product of two polynomials modulo the checksum's.
    private static func product(_ a: UInt32, _ b: UInt32) -> UInt32 {
        var (result, b) = (0 as UInt32, b)
        // Masks instead of branches, which the processor could not foresee.
        for power in 0..<32 as Range<UInt32> {
            result ^= b & (0 &- (a &>> (31 &- power) & 1))
            b = b &>> 1 ^ 0x82f6_3b78 & (0 &- (b & 1))
        }
        return result
    }
}

/// CRC-32 (IEEE 802.3): the checksum of gzip and of Parquet pages.
package enum CRC32 {
    /// The checksum of bytes.
    package static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var register = ReflectedCRC()
        register.update(bytes, ieee)
        return register.value
    }
}

private let hasInstruction = gdn_crc32c_has_instruction() != 0
private let castagnoli = ReflectedCRC.tables(0x82f6_3b78)
private let ieee = ReflectedCRC.tables(0xedb8_8320)

/// A checksum of 32 bits with bits in reflected order, eight bytes a step (slicing by eight).
private struct ReflectedCRC {
    private var register: UInt32

    /// A register that has taken in bytes of this checksum; without one none.
    init(_ value: UInt32 = 0) { register = ~value }

    var value: UInt32 { ~register }

    mutating func update(_ bytes: UnsafeRawBufferPointer, _ tables: [UInt32]) {
        var crc = register
        tables.withUnsafeBufferPointer { table in
            var index = 0
            while index + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                let mixed = word ^ UInt64(crc)
                crc = 0
                for byte in 0..<8 {
                    crc ^= table[(7 - byte) << 8 | Int(truncatingIfNeeded: mixed >> UInt64(8 * byte)) & 0xff]
                }
                index += 8
            }
            while index < bytes.count {
                crc = crc >> 8 ^ table[Int(UInt8(truncatingIfNeeded: crc) ^ bytes[index])]
                index += 1
            }
        }
        register = crc
    }

    /// Eight tables of 256 for a polynomial in reflected order: table n advances the effect of a byte over n further
    /// bytes.
    static func tables(_ polynomial: UInt32) -> [UInt32] {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            var crc = UInt32(byte)
            for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? polynomial : 0) }
            tables[byte] = crc
        }
        for n in 1..<8 {
            for byte in 0..<256 {
                let crc = tables[(n - 1) << 8 | byte]
                tables[n << 8 | byte] = crc >> 8 ^ tables[Int(crc & 0xff)]
            }
        }
        return tables
    }
}
