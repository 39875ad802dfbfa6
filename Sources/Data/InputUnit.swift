import GDNFormats

/// How the bytes of an input become documents.
public enum InputFormat: String, Sendable, Codable {
    /// A file is one document.
    case text
    /// A line is one JSON object with the text under a field.
    case lines
    /// A row of a Parquet file has the text in a column.
    case parquet
}

/// A piece of the input that can be read by itself, in any order and on any thread: a file, or a part of a large one.
///
/// The same files give the same units, so that units can be numbered, shared out and continued after a break.
package struct InputUnit: Sendable, Codable, Equatable {
    /// The file as found; `-` for standard input, which can be read once only.
    package let path: String
    /// How its bytes become documents; nil: the bytes will tell (standard input).
    package let format: InputFormat?
    /// How the file is compressed as a whole; nil: the bytes will tell.
    package let compression: Compression?
    /// Bytes of the file that belong to this unit, as stored; of Parquet those of the column; 0 when not known.
    package let bytes: Int
    /// Bytes of plain JSON lines (the lines that begin there) or row groups of Parquet; nil: the whole file.
    package let part: Range<Int>?

    /// Whether this is the first unit of its file.
    package var isFirst: Bool { (part?.lowerBound ?? 0) == 0 }
}

extension DocumentReader {
    /// Lists the units below the paths, in the order of the paths and of the files' names.
    /// - Parameter ignored: is raised by the number of files in folders that no reader is for
    /// - Throws: `FormatError` for what cannot be found, `DataError` for a folder with nothing to read. What is wrong inside
    ///   a file is found when it is read.
    package func units(of paths: [String], ignored: inout Int) throws -> [InputUnit] {
        var units: [InputUnit] = []
        for path in paths {
            for entry in try FileList.files(at: path, ignored: &ignored) { units += self.units(of: entry) }
        }
        return units
    }

    /// Lists the units below the paths.
    package func units(of paths: [String]) throws -> [InputUnit] {
        var ignored = 0
        return try units(of: paths, ignored: &ignored)
    }

    private func units(of entry: FileList.Entry) -> [InputUnit] {
        func unit(_ part: Range<Int>?, _ bytes: Int) -> InputUnit {
            InputUnit(
                path: entry.path, format: entry.kind?.format, compression: entry.kind?.compression, bytes: bytes,
                part: part)
        }
        var parts: [(Range<Int>, Int)] = []
        switch (entry.kind?.format, entry.kind?.compression) {
        case (.lines, .plain) where entry.bytes > 2 * unitBytes:
            for start in stride(from: 0, to: entry.bytes, by: unitBytes) {
                let end = min(start + unitBytes, entry.bytes)
                parts.append((start..<end, end - start))
            }
        case (.parquet, _):
            // A file that cannot be opened is one unit; reading it will say what is wrong.
            guard let column = try? ParquetTextColumn(entry.path, column: settings.textField, longestPage: 0) else {
                break
            }
            for (group, bytes) in column.storedBytes.enumerated() {
                if let last = parts.last, last.1 + bytes <= unitBytes {
                    parts[parts.count - 1] = (last.0.lowerBound..<group + 1, last.1 + bytes)
                } else {
                    parts.append((group..<group + 1, bytes))
                }
            }
        default: break
        }
        return parts.isEmpty ? [unit(nil, entry.bytes)] : parts.map { unit($0.0, $0.1) }
    }

    /// The size and checksum of a file: a pass over its bytes.
    /// - Throws: `FormatError` when it cannot be read.
    package func source(of path: String) throws -> Source {
        try Source(path: path, RunChecksum(of: path))
    }

    /// Counts the lines of findings in parts of files from the beginning of the file, as people do.
    /// - Throws: `FormatError` when a file cannot be read again.
    package func resolveLines(of report: inout DataReport) throws {
        for (index, finding) in report.findings.enumerated() {
            guard let offset = finding.offset else { continue }
            let file = try InputFile(finding.file)
            let buffer = ByteBuffer()
            try buffer.reserve(1 << 18, file: finding.file)
            // The line that the byte before the part is in is the last that is not counted from the part on.
            var (left, lines) = (offset - 1, 1)
            while left > 0 {
                let room = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes.prefix(left))
                let count = try file.read(into: room)
                if count == 0 { break }
                lines += UTF8Scan.newlines(buffer[0..<count])
                left -= count
            }
            report.findings[index].line += lines
            report.findings[index].offset = nil
        }
    }
}
