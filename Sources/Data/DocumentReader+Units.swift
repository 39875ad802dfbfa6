import GDNFormats
import GDNTensor

extension DocumentReader {
    /// What reading a unit gave.
    package struct UnitResult: Sendable {
        /// What was found, of the records that were read alone; `files` is 1 for the first unit of a file that is read
        /// from its beginning. Call `resolveLines(of:)` on the sum before showing it.
        package var report: DataReport
        /// The checksum of the unit's bytes, which join to the file's; nil of Parquet, which is not read in order (see
        /// `source(of:)`).
        package var checksum: RunChecksum?
    }

    /// Reads the documents of one unit; whether too many records are unusable is for the caller to `check` at the end.
    ///
    /// Memory: some buffers of 256 KiB, a document of a text file, a line, or a Parquet page with its dictionary.
    /// - Parameters:
    ///   - unit: one of `units(of:)`
    ///   - first: the records before this one (counted from 0) are passed over
    ///   - body: is given the documents in order
    /// - Throws: `FormatError` for a file that cannot be read (or is damaged, where that is not allowed), and whatever
    ///   `body` throws.
    package func read(
        _ unit: InputUnit, from first: Int = 0, _ body: (Document) throws -> Void
    ) throws -> UnitResult {
        var report = DataReport()
        report.files = unit.isFirst && first == 0 ? 1 : 0
        if unit.format == .parquet {
            try toleratingDamage(unit.path, &report) { try parquet(unit, first, &$0, &$1, body) }
            return UnitResult(report: report, checksum: nil)
        }
        let start = max(0, (unit.part?.lowerBound ?? 0) - 1)
        let file = try InputFile(unit.path, from: start, summing: unit.part ?? 0..<Int.max)
        try toleratingDamage(unit.path, &report) { report, line in
            let (format, stream) = try open(unit, file)
            switch format {
            case .text: try text(stream, unit.path, first, &report, &line, body)
            default: try lines(stream, unit, first, &report, &line, body)
            }
        }
        if unit.part == nil { try file.readToEnd() }
        return UnitResult(report: report, checksum: file.checksum)
    }

    /// Finds out what a unit holds where its name does not say, and decompresses it.
    private func open(_ unit: InputUnit, _ file: InputFile) throws -> (InputFormat, any ByteStream) {
        if let format = unit.format, let compression = unit.compression {
            return (format, try compression.decompressed(file, path: unit.path))
        }
        let raw = PeekableStream(file, path: unit.path)
        let compression = Compression(magic: try raw.peek(Compression.magicLength))
        let stream = PeekableStream(try compression.decompressed(raw, path: unit.path), path: unit.path)
        if let format = unit.format ?? settings.standardInput { return (format, stream) }
        let begins = try stream.peek(1 << 12).first { $0 != 0x20 && $0 != 0x0a && $0 != 0x0d && $0 != 0x09 }
        return (begins == UInt8(ascii: "{") ? .lines : .text, stream)
    }

    /// Runs `body`; damage that it meets is noted at the line it last began with, or thrown.
    private func toleratingDamage(
        _ path: String, _ report: inout DataReport, _ body: (inout DataReport, inout Int) throws -> Void
    ) throws {
        var line = 0
        do {
            try body(&report, &line)
        } catch let damage as DamagedInput {
            let error = damage.error
            guard settings.keepsDamagedFiles else { throw error }
            let place = error.part.map { "\($0): " } ?? ""
            report.note(\.damaged, path, line + 1, "\(place)\(error.rule); what comes before is used")
        }
    }

    private func parquet(
        _ unit: InputUnit, _ first: Int, _ report: inout DataReport, _ line: inout Int,
        _ body: (Document) throws -> Void
    ) throws {
        let column = try ParquetTextColumn(
            unit.path, column: settings.textField, longestPage: settings.longestRecord)
        let rows = column.rows
        let groups = unit.part ?? rows.indices
        guard groups.upperBound <= rows.count else {
            throw FormatError(
                file: unit.path, rule: "has fewer row groups than when it was listed",
                advice: "do not change it meanwhile")
        }
        var before = rows[..<groups.lowerBound].reduce(0, +)
        if rows.isEmpty {
            report.records += 1
            report.note(\.empty, unit.path, 1, "the file has no rows; left out")
        }
        let start = before
        for group in groups {
            let number = before - start
            let skipped = max(0, first - number)
            line = before
            if skipped < rows[group] || skipped == 0 {
                try column.read(rowGroup: group, from: skipped) { row, value in
                    line = before + row
                    let place = Place(path: unit.path, line: line + 1, record: number + row)
                    switch value {
                    case .text(let bytes): try record(bytes, place, &report, body)
                    case .null:
                        report.records += 1
                        report.note(\.empty, place, "no text; left out")
                    case .tooLong(let bytes):
                        report.records += 1
                        report.note(
                            \.malformed, place,
                            "in a page of \(bytes) bytes, allowed are \(settings.longestRecord); left out")
                    }
                }
            }
            before += rows[group]
        }
    }
}
