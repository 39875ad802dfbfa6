import GDNFormatsKernels

/// One column of texts of a Parquet file, read page by page: memory holds a page, its dictionary and the footer.
///
/// Reads a top-level column of physical type BYTE_ARRAY, required or optional; encodings PLAIN, PLAIN_DICTIONARY,
/// RLE_DICTIONARY, DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY; data pages of both versions; no compression, Snappy, gzip
/// and Zstandard. Other columns are not looked at. No length in the file is trusted.
package final class ParquetTextColumn {
    /// What stands in a row.
    package enum Value {
        /// A text of any bytes, valid during the call.
        case text(UnsafeRawBufferPointer)
        /// Nothing (a null).
        case null
        /// A text in a page of this many bytes, more than are allowed; not read.
        case tooLong(Int)
    }

    /// The file.
    package let path: String
    private let name: String
    private let file: InputFile
    private let footerStart: Int
    private let metadata: ParquetMetadata
    private let longestPage: Int
    private let codecs: ParquetCodecs
    private let header = ByteBuffer()
    private let stored = ByteBuffer()
    private let plain = ByteBuffer()
    private let scratch = ByteBuffer()

    /// Opens a file and reads its footer.
    /// - Parameters:
    ///   - path: the file
    ///   - name: the column
    ///   - longestPage: most bytes of a page that are held in memory; rows of longer pages are given as `tooLong`
    /// - Throws: `FormatError` for a file that cannot be read or has no such column of texts, `DamagedInput` when it breaks
    ///   a rule of the format.
    package init(_ path: String, column name: String, longestPage: Int) throws {
        self.path = path
        self.name = name
        self.longestPage = min(longestPage, Int(Int32.max))
        file = try InputFile(path)
        codecs = ParquetCodecs(file: path)
        (metadata, footerStart) = try Self.footer(file, name)
    }

    /// Numbers of rows of the row groups; impossible ones, which `read` refuses, come as the nearest possible.
    package var rows: [Int] { metadata.rowGroups.map { min(max(0, $0.rows), Int(Int32.max)) } }

    /// Bytes of the column in each row group, as stored; impossible numbers come as the nearest possible.
    package var storedBytes: [Int] {
        metadata.rowGroups.map { min(max(0, $0.chunk?.compressedBytes ?? 0), footerStart) }
    }

    /// Reads a row group.
    /// - Parameters:
    ///   - group: its number
    ///   - first: the rows before this one, counted from 0 in the group, are passed over
    ///   - body: is given every further row's number in the group and value
    /// - Throws: `FormatError`, `DamagedInput` with row group, column and page, and whatever `body` throws.
    package func read(rowGroup group: Int, from first: Int = 0, _ body: (Int, Value) throws -> Void) throws {
        let (chunk, rows) = try checkedChunk(group)
        var position = chunk.start
        let end = position + chunk.compressedBytes
        var (row, page) = (0, 0)
        var dictionary: ParquetDictionary?
        while row < rows {
            let place = "row group \(group), column \(name), page \(page)"
            guard position < end else {
                throw DamagedInput(path, part: place, "the column ends after \(row) of \(rows) rows")
            }
            let head = try pageHeader(at: position, end: end, place)
            position += head.headerBytes
            do {
                switch head.content {
                case .dictionary(let values, let encoding):
                    guard page == 0 else { throw ParquetFailure("a dictionary behind other pages") }
                    guard encoding == 0 || encoding == 2 else {
                        throw ParquetFailure("encoding \(encoding) is none for dictionaries")
                    }
                    guard !isTooLong(head) else {
                        throw FormatError(
                            file: path, part: place,
                            rule: "a dictionary of \(head.uncompressedBytes) bytes is too large",
                            advice: "write it again with plain pages")
                    }
                    let bytes = try load(head, at: position, chunk.codec, ByteBuffer())
                    dictionary = try ParquetDictionary(bytes.0, bytes: bytes.1, values: values)
                case .data(let values, _, _), .dataV2(let values, _, _, _, _, _, _):
                    guard values >= 0, values <= rows - row else {
                        throw ParquetFailure("\(values) values where \(rows - row) rows are left")
                    }
                    if row + values <= first {
                        // Nothing of it is wanted.
                    } else if isTooLong(head) {
                        for skipped in max(row, first)..<row + values {
                            try body(skipped, .tooLong(head.uncompressedBytes))
                        }
                    } else {
                        let start = row
                        try deliver(head, at: position, chunk.codec, dictionary) { index, value in
                            if start + index >= first { try body(start + index, value) }
                        }
                    }
                    row += values
                case .other: break
                }
            } catch let failure as ParquetFailure {
                throw DamagedInput(path, part: place, failure.rule)
            }
            position += head.compressedBytes
            page += 1
        }
    }

    private func isTooLong(_ head: ParquetPageHeader) -> Bool {
        max(head.uncompressedBytes, head.compressedBytes) > longestPage
    }

    /// The column's piece in a row group, if what the footer says of it is possible.
    private func checkedChunk(_ group: Int) throws -> (ParquetMetadata.Chunk, rows: Int) {
        let place = "row group \(group), column \(name)"
        func damage(_ rule: String) -> DamagedInput { DamagedInput(path, part: place, rule) }
        let rows = metadata.rowGroups[group].rows
        guard let chunk = metadata.rowGroups[group].chunk else { throw damage("the row group has no such column") }
        guard !chunk.isElsewhere, !chunk.isEncrypted else {
            throw FormatError(
                file: path, part: place, rule: chunk.isEncrypted ? "is encrypted" : "is in another file",
                advice: "write the file again")
        }
        guard chunk.type == ParquetMetadata.byteArray else {
            throw damage("type \(chunk.type) differs from the schema's")
        }
        guard rows >= 0, rows <= Int(Int32.max) else { throw damage("\(rows) rows are impossible") }
        guard chunk.values == rows else { throw damage("\(chunk.values) values for \(rows) rows") }
        guard chunk.compressedBytes >= 0, chunk.start >= 4, chunk.start <= footerStart,
            chunk.compressedBytes <= footerStart - chunk.start
        else {
            throw damage("\(chunk.compressedBytes) bytes at byte \(chunk.start) are not inside the file")
        }
        try codecs.check(chunk.codec, place)
        return (chunk, rows)
    }

    /// The footer, and where it begins. The file's end: footer, its length (4 bytes), `PAR1`.
    private static func footer(_ file: InputFile, _ name: String) throws -> (ParquetMetadata, Int) {
        let size = file.size
        guard size >= 12 else { throw DamagedInput(file.path, "\(size) bytes are no Parquet file") }
        let tail = ByteBuffer()
        try tail.reserve(8, file: file.path)
        try file.read(into: UnsafeMutableRawBufferPointer(rebasing: tail.bytes[..<8]), at: size - 8)
        guard !tail[4..<8].elementsEqual("PARE".utf8) else {
            throw FormatError(file: file.path, rule: "is encrypted", advice: "write it again without encryption")
        }
        guard tail[4..<8].elementsEqual("PAR1".utf8) else {
            throw DamagedInput(file.path, "does not end with PAR1: it is no Parquet file, or not all of one")
        }
        let count = Int(UInt32(littleEndian: tail[0..<4].loadUnaligned(as: UInt32.self)))
        guard count <= size - 12 else {
            throw DamagedInput(file.path, "a footer of \(count) bytes in a file of \(size)")
        }
        guard count <= 1 << 28 else { throw DamagedInput(file.path, "a footer of \(count) bytes is too large") }
        let footer = ByteBuffer()
        try footer.reserve(count, file: file.path)
        let bytes = UnsafeMutableRawBufferPointer(rebasing: footer.bytes[..<count])
        try file.read(into: bytes, at: size - 8 - count)
        do {
            return (try ParquetMetadata(UnsafeRawBufferPointer(bytes), column: name), size - 8 - count)
        } catch let failure as CompactReader.Failure {
            throw DamagedInput(file.path, part: "footer", failure.rule)
        } catch let unusable as ParquetMetadata.Unusable {
            throw FormatError(file: file.path, rule: unusable.rule, advice: unusable.advice)
        }
    }

    /// A page's header. How long it is, only reading it shows; texts of any length can be in it.
    private func pageHeader(at position: Int, end: Int, _ place: String) throws -> ParquetPageHeader {
        var window = min(end - position, 1 << 12)
        while true {
            try header.reserve(window, file: path)
            let bytes = UnsafeMutableRawBufferPointer(rebasing: header.bytes[..<window])
            try file.read(into: bytes, at: position)
            do {
                let head = try ParquetPageHeader(UnsafeRawBufferPointer(bytes))
                guard head.uncompressedBytes >= 0, head.compressedBytes >= 0,
                    head.compressedBytes <= end - position - head.headerBytes
                else {
                    throw DamagedInput(
                        path, part: place,
                        "\(head.compressedBytes) bytes for \(head.uncompressedBytes) where "
                            + "\(end - position - head.headerBytes) are left")
                }
                return head
            } catch CompactReader.Failure.ended where window < min(end - position, 1 << 25) {
                window = min(end - position, 4 * window)
            } catch let failure as CompactReader.Failure {
                throw DamagedInput(path, part: "\(place), header", failure.rule)
            }
        }
    }

    /// The bytes of a page, checked against the checksum where there is one, all of it decompressed.
    private func load(
        _ head: ParquetPageHeader, at position: Int, _ codec: Int, _ output: ByteBuffer
    ) throws -> (ByteBuffer, Int) {
        try fetch(head, at: position)
        return try (output, inflate(0..<head.compressedBytes, codec, to: head.uncompressedBytes, output))
    }

    private func fetch(_ head: ParquetPageHeader, at position: Int) throws {
        try stored.reserve(max(1, head.compressedBytes), file: path)
        try file.read(
            into: UnsafeMutableRawBufferPointer(rebasing: stored.bytes[..<head.compressedBytes]), at: position)
        if let checksum = head.checksum, CRC32.checksum(stored[0..<head.compressedBytes]) != checksum {
            throw ParquetFailure("the checksum does not fit")
        }
    }

    private func inflate(_ range: Range<Int>, _ codec: Int, to count: Int, _ output: ByteBuffer) throws -> Int {
        try output.reserve(max(1, count), file: path)
        // A page of nulls alone has nothing that could have been compressed.
        if count == 0, range.isEmpty { return 0 }
        try codecs.decode(stored[range], codec, into: UnsafeMutableRawBufferPointer(rebasing: output.bytes[..<count]))
        return count
    }

    /// Gives the values of a data page with their places in it.
    private func deliver(
        _ head: ParquetPageHeader, at position: Int, _ codec: Int, _ dictionary: ParquetDictionary?,
        _ body: (Int, Value) throws -> Void
    ) throws {
        var levels: HybridDecoder?
        let bytes: UnsafeRawBufferPointer
        let (count, encoding): (Int, Int)
        switch head.content {
        case .data(let values, let valueEncoding, let levelEncoding):
            (count, encoding) = (values, valueEncoding)
            let size = try load(head, at: position, codec, plain).1
            var start = 0
            if metadata.column.isOptional {
                guard levelEncoding == 3 else {
                    throw ParquetFailure("encoding \(levelEncoding) of levels is not read")
                }
                guard size >= 4 else { throw ParquetFailure("the page ends inside its levels") }
                let length = Int(UInt32(littleEndian: plain[0..<4].loadUnaligned(as: UInt32.self)))
                guard length <= size - 4 else { throw ParquetFailure("\(length) bytes of levels in a page of \(size)") }
                levels = try HybridDecoder(plain[4..<4 + length], width: 1)
                start = 4 + length
            }
            bytes = plain[start..<size]
        case .dataV2(let values, _, let rows, let valueEncoding, let definition, let repetition, let isCompressed):
            (count, encoding) = (values, valueEncoding)
            guard rows == values else { throw ParquetFailure("\(values) values for \(rows) rows") }
            guard definition >= 0, repetition >= 0, definition + repetition <= head.compressedBytes,
                definition + repetition <= head.uncompressedBytes
            else { throw ParquetFailure("\(definition) + \(repetition) bytes of levels do not fit into the page") }
            try fetch(head, at: position)
            let start = definition + repetition
            if metadata.column.isOptional { levels = try HybridDecoder(stored[repetition..<start], width: 1) }
            let size = try inflate(
                start..<head.compressedBytes, isCompressed ? codec : 0, to: head.uncompressedBytes - start, plain)
            bytes = plain[0..<size]
        default: return
        }
        var texts = try ParquetTexts(
            bytes, encoding: encoding, most: count, dictionary: dictionary, scratch: scratch, file: path)
        for index in 0..<count {
            if try levels?.next() == 0 {
                try body(index, .null)
            } else {
                try body(index, .text(try texts.next()))
            }
        }
        guard texts.isComplete else { throw ParquetFailure("the page has more values than rows") }
    }
}
