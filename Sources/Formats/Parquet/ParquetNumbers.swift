/// A rule of Parquet that a page breaks.
struct ParquetFailure: Error {
    let rule: String

    init(_ rule: String) { self.rule = rule }
}

/// Bits of little-endian packed numbers, the lowest first.
private func packedBits(_ bytes: UnsafeRawBufferPointer, bit: Int, width: Int) -> UInt64 {
    var (value, shift): (UInt64, Int) = (0, -(bit & 7))
    var index = bit >> 3
    while shift < width {
        let byte = UInt64(bytes[index])
        value |= shift < 0 ? byte >> UInt64(-shift) : byte << UInt64(shift)
        shift += 8
        index += 1
    }
    return width == 64 ? value : value & (1 << UInt64(width) - 1)
}

private func variableLength(_ bytes: UnsafeRawBufferPointer, _ index: inout Int) throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
        guard index < bytes.count else { throw ParquetFailure("the page ends inside a number") }
        let byte = bytes[index]
        index += 1
        value |= UInt64(byte & 0x7f) << shift
        if byte < 0x80 { return value }
    }
    throw ParquetFailure("a number is longer than 64 bits")
}

/// Levels and dictionary indices: runs of one number and groups of eight packed ones (encoding RLE).
struct HybridDecoder {
    private let bytes: UnsafeRawBufferPointer
    private let width: Int
    private var index = 0
    private var left = 0
    private var isRun = false
    private var value: UInt32 = 0
    private var bit = 0

    /// - Parameter width: bits of a number, 0 … 32
    init(_ bytes: UnsafeRawBufferPointer, width: Int) throws {
        guard (0...32).contains(width) else { throw ParquetFailure("indices of \(width) bits, allowed are 0 … 32") }
        self.bytes = bytes
        self.width = width
    }

    mutating func next() throws -> UInt32 {
        while left == 0 { try begin() }
        left -= 1
        if isRun { return value }
        guard bit + width <= 8 * bytes.count else { throw ParquetFailure("the page ends inside packed numbers") }
        defer { bit += width }
        return UInt32(truncatingIfNeeded: packedBits(bytes, bit: bit, width: width))
    }

    private mutating func begin() throws {
        // Behind the packed numbers that were read come those that only fill their group of eight.
        let head = try variableLength(bytes, &index)
        guard head >> 1 <= UInt64(Int32.max) else { throw ParquetFailure("a run of \(head >> 1) numbers is too long") }
        isRun = head & 1 == 0
        if isRun {
            left = Int(head >> 1)
            let count = (width + 7) / 8
            guard bytes.count - index >= count else { throw ParquetFailure("the page ends inside a run") }
            value = 0
            for step in 0..<count { value |= UInt32(bytes[index + step]) << UInt32(8 * step) }
            index += count
        } else {
            left = 8 * Int(head >> 1)
            bit = 8 * index
            index = min(bytes.count, index + Int(head >> 1) * width)
        }
    }
}

/// Numbers stored as packed differences (encoding DELTA_BINARY_PACKED), as far as lengths need it: 32 bits.
struct DeltaDecoder {
    private let bytes: UnsafeRawBufferPointer
    private let perMiniblock: Int
    private let miniblocks: Int
    /// Byte behind everything read, whole miniblocks counted.
    private(set) var index: Int
    /// Values not yet given.
    private(set) var left: Int
    private var value: Int32
    private var isFirst = true
    private var minimum: Int32 = 0
    private var widths = 0
    private var miniblock: Int
    private var inMiniblock = 0
    private var bit = 0
    private var width = 0

    /// - Parameters:
    ///   - index: where the numbers begin
    ///   - most: how many there may be
    init(_ bytes: UnsafeRawBufferPointer, at index: Int, most: Int) throws {
        var place = index
        let block = try variableLength(bytes, &place)
        let miniblocks = try variableLength(bytes, &place)
        let total = try variableLength(bytes, &place)
        let first = try variableLength(bytes, &place)
        guard block > 0, block <= 1 << 20, miniblocks > 0, miniblocks <= block, block % miniblocks == 0,
            block / miniblocks % 8 == 0
        else { throw ParquetFailure("blocks of \(block) differences in \(miniblocks) parts are impossible") }
        guard total <= UInt64(most) else { throw ParquetFailure("\(total) lengths for \(most) values") }
        self.bytes = bytes
        self.index = place
        self.miniblocks = Int(miniblocks)
        perMiniblock = Int(block / miniblocks)
        left = Int(total)
        value = Self.unfolded(first)
        miniblock = self.miniblocks
    }

    mutating func next() throws -> Int32 {
        guard left > 0 else { throw ParquetFailure("there are more values than lengths") }
        left -= 1
        if isFirst {
            isFirst = false
            return value
        }
        if inMiniblock == 0 { try begin() }
        inMiniblock -= 1
        let difference = Int32(truncatingIfNeeded: packedBits(bytes, bit: bit, width: width))
        bit += width
        value = value &+ minimum &+ difference
        return value
    }

    /// The byte behind all numbers.
    func end() throws -> Int {
        var copy = self
        while copy.left > 0 { _ = try copy.next() }
        return copy.index
    }

    private mutating func begin() throws {
        if miniblock == miniblocks {
            minimum = Self.unfolded(try variableLength(bytes, &index))
            guard bytes.count - index >= miniblocks else { throw ParquetFailure("the page ends inside differences") }
            widths = index
            index += miniblocks
            miniblock = 0
        }
        width = Int(bytes[widths + miniblock])
        guard width <= 32 else { throw ParquetFailure("differences of \(width) bits, allowed are 0 … 32") }
        let size = perMiniblock / 8 * width
        guard bytes.count - index >= size else { throw ParquetFailure("the page ends inside differences") }
        bit = 8 * index
        index += size
        miniblock += 1
        inMiniblock = perMiniblock
    }

    private static func unfolded(_ value: UInt64) -> Int32 {
        Int32(truncatingIfNeeded: Int64(bitPattern: value >> 1) ^ -Int64(value & 1))
    }
}
