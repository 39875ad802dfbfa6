import GDNFormats

/// How the bytes of an input become documents.
public enum InputFormat: String, Sendable, Codable {
    /// A file is one document.
    case text
    /// A line is one JSON object with the text under a field.
    case lines
}

/// A piece of the input that can be read by itself, in any order and on any thread: a file, or a part of a large one.
///
/// The same files give the same units, so that units can be numbered, shared out and continued after a break.
package struct InputUnit: Sendable, Codable, Equatable {
    /// The file as found.
    package let path: String
    /// How its bytes become documents.
    package let format: InputFormat
    /// Bytes of the file that belong to this unit, as stored.
    package let bytes: Int
    /// Whether this is the first unit of its file.
    package let isFirst: Bool
}

extension DocumentReader {
    /// What reading a unit gave.
    package struct UnitResult: Sendable {
        /// What was found, of the records that were read alone; `files` is 1 for the first unit of a file that is read
        /// from its beginning.
        package var report: DataReport
        /// The file with its checksum when the unit is the whole file; else nil (see `source(of:)`).
        package var source: Source?
    }

    /// Lists the units below the paths, in the order of the paths and of the files' names.
    /// - Parameter ignored: is raised by the number of files in folders that no reader is for
    /// - Throws: `FormatError` for what cannot be read, `DataError` for a folder with nothing to read.
    package func units(of paths: [String], ignored: inout Int) throws -> [InputUnit] {
        try paths.flatMap { try FileList.files(at: $0, ignored: &ignored) }.map { entry in
            InputUnit(path: entry.path, format: entry.format, bytes: entry.bytes, isFirst: true)
        }
    }

    /// Lists the units below the paths.
    package func units(of paths: [String]) throws -> [InputUnit] {
        var ignored = 0
        return try units(of: paths, ignored: &ignored)
    }

    /// The size and checksum of a file: a pass over its bytes.
    /// - Throws: `FormatError` when it cannot be read.
    package func source(of path: String) throws -> Source {
        let file = try MappedFile(path)
        var sum = SHA256()
        file.read(0..<file.bytes.count) { sum.update($0) }
        return Source(path: path, bytes: file.bytes.count, sha256: sum.digest())
    }
}
