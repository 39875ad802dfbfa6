/// The header of a Parquet page.
struct ParquetPageHeader {
    /// What a page holds.
    enum Content {
        /// Values with their levels, compressed together.
        case data(values: Int, encoding: Int, levelEncoding: Int)
        /// Values, and uncompressed before them their levels.
        case dataV2(
            values: Int, nulls: Int, rows: Int, encoding: Int, definitionBytes: Int, repetitionBytes: Int,
            isCompressed: Bool)
        case dictionary(values: Int, encoding: Int)
        /// Something that a reader may pass over.
        case other
    }

    var content = Content.other
    var uncompressedBytes = -1
    var compressedBytes = -1
    var checksum: UInt32?
    /// Bytes that the header itself takes.
    var headerBytes = 0

    /// Reads a header at the beginning of `bytes`.
    /// - Throws: `CompactReader.Failure`.
    init(_ bytes: UnsafeRawBufferPointer) throws {
        var reader = CompactReader(bytes)
        var type = -1
        var (data, dataV2, dictionary) = ([Int: Int](), [Int: Int](), [Int: Int]())
        try reader.structure { reader, field, kind in
            switch (field, kind) {
            case (1, .int32): type = try reader.integer32()
            case (2, .int32): uncompressedBytes = try reader.integer32()
            case (3, .int32): compressedBytes = try reader.integer32()
            case (4, .int32): checksum = UInt32(truncatingIfNeeded: try reader.integer32())
            case (5, .structure): data = try Self.numbers(&reader)
            case (7, .structure): dictionary = try Self.numbers(&reader)
            case (8, .structure): dataV2 = try Self.numbers(&reader)
            default: return false
            }
            return true
        }
        headerBytes = reader.index
        switch type {
        case 0:
            content = .data(values: data[1] ?? -1, encoding: data[2] ?? -1, levelEncoding: data[3] ?? -1)
        case 2: content = .dictionary(values: dictionary[1] ?? -1, encoding: dictionary[2] ?? -1)
        case 3:
            content = .dataV2(
                values: dataV2[1] ?? -1, nulls: dataV2[2] ?? -1, rows: dataV2[3] ?? -1, encoding: dataV2[4] ?? -1,
                definitionBytes: dataV2[5] ?? -1, repetitionBytes: dataV2[6] ?? -1, isCompressed: dataV2[7] != 0)
        default: content = .other
        }
    }

    /// The whole numbers and truth values of a structure by field.
    private static func numbers(_ reader: inout CompactReader) throws -> [Int: Int] {
        var numbers: [Int: Int] = [:]
        try reader.structure { reader, field, kind in
            switch kind {
            case .int32: numbers[field] = try reader.integer32()
            case .yes, .no: numbers[field] = kind == .yes ? 1 : 0
            default: return false
            }
            return true
        }
        return numbers
    }
}
