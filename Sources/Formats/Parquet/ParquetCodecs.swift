import GDNTensor

/// Decompresses the pages of one file; libraries are opened when the first page needs them.
final class ParquetCodecs {
    private let file: String
    private var inflater: Inflater?
    private var zstandard: ZstandardDecoder?

    private static let names = ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"]

    init(file: String) {
        self.file = file
    }

    /// Refuses codecs that are not read.
    /// - Throws: `FormatError`, `DamagedInput` for a number that stands for none.
    func check(_ codec: Int, _ place: String) throws {
        guard Self.names.indices.contains(codec) else {
            throw DamagedInput(file, part: place, "codec \(codec) is none")
        }
        guard [0, 1, 2, 6].contains(codec) else {
            throw FormatError(
                file: file, part: place, rule: "compression \(Self.names[codec]) is not read",
                advice: "write the file again with zstd, snappy, gzip or none")
        }
    }

    /// Decompresses a page, which must fill `output`.
    /// - Throws: `ParquetFailure` when it does not, `FormatError` when a library is missing.
    func decode(_ bytes: UnsafeRawBufferPointer, _ codec: Int, into output: UnsafeMutableRawBufferPointer) throws {
        let failure: String?
        switch codec {
        case 1:
            failure = Snappy.decode(bytes, into: output)
        case 2:
            let inflater = try inflater ?? Inflater(file: file)
            self.inflater = inflater
            failure = inflater.decode(bytes, into: output)
        case 6:
            let zstandard = try zstandard ?? ZstandardDecoder(file: file)
            self.zstandard = zstandard
            failure = zstandard.decode(bytes, into: output)
        default:
            failure = bytes.count == output.count ? nil : "\(bytes.count) bytes, announced are \(output.count)"
            if failure == nil { output.copyMemory(from: bytes) }
        }
        if let failure { throw ParquetFailure("\(Self.names[codec]): \(failure)") }
    }
}
