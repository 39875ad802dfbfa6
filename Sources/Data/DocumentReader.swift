import GDNFormats
import GDNTensor
import GDNTokenizers

/// Reads documents one after another from text files, folders and JSON lines.
///
/// Nothing is held in memory but the document at hand. Every text file is a document, every JSON line one under the
/// set field. Bad records never end the program: they are counted, the first ten are kept with file and line, and
/// only when more than a set share cannot be used is that an error.
public struct DocumentReader: Sendable {
    /// How to read.
    public struct Settings: Sendable, Codable, Equatable {
        /// The field of a JSON line that holds the text.
        public var textField: String
        /// Longest document in bytes; longer records are cut into several.
        public var longestDocument: Int
        /// Largest share of records that may be unusable, 0 … 1.
        public var malformedLimit: Double

        /// Settings, with defaults for all.
        public init(textField: String = "text", longestDocument: Int = 1 << 24, malformedLimit: Double = 0.05) {
            self.textField = textField
            self.longestDocument = longestDocument
            self.malformedLimit = malformedLimit
        }
    }

    /// A document while it is being read.
    package struct Document {
        /// Its text, valid UTF-8, never empty; valid during the call.
        package let bytes: UnsafeRawBufferPointer
        /// Whether it is a text file rather than a record of a file.
        package let isFile: Bool
        /// Number of its record in the unit, from 0; the pieces of a record that was cut share it.
        package let record: Int
    }

    /// A file that was read.
    public struct Source: Sendable, Codable, Equatable {
        /// Its path as found.
        public var path: String
        /// Its size.
        public var bytes: Int
        /// SHA-256 of its content.
        public var sha256: String
    }

    /// A record with more invalid bytes than this share of all counts as unusable: it is no text at all.
    static let repairableShare = 0.1

    /// How to read.
    public let settings: Settings

    /// A reader.
    /// - Throws: `DataError` when a setting is impossible.
    public init(_ settings: Settings = Settings()) throws {
        guard settings.longestDocument >= 16 else {
            throw DataError(
                "longest document", "\(settings.longestDocument) bytes", advice: "allow at least 16 bytes")
        }
        guard (0...1).contains(settings.malformedLimit) else {
            throw DataError(
                "malformed limit", "\(settings.malformedLimit) is no share", advice: "set it between 0 and 1")
        }
        self.settings = settings
    }

    /// Reads every document below the paths, in the order of the paths and of the files' names.
    /// - Returns: what was found, and the files with checksums.
    /// - Throws: `FormatError` for a file that cannot be read, `DataError` when too many records are unusable or there
    ///   is no text at all, and whatever `body` throws.
    package func read(
        _ paths: [String], _ body: (Document) throws -> Void
    ) throws -> (report: DataReport, sources: [Source]) {
        var report = DataReport()
        var sources: [Source] = []
        for unit in try units(of: paths, ignored: &report.ignoredFiles) {
            let result = try read(unit, body)
            report.merge(result.report)
            sources.append(try result.source ?? source(of: unit.path))
        }
        try check(report, paths)
        return (report, sources)
    }

    /// Reads the documents of one unit; whether too many records are unusable is for the caller to `check` at the end.
    /// - Parameters:
    ///   - unit: one of `units(of:)`
    ///   - first: the records before this one (counted from 0) are passed over
    ///   - body: is given the documents in order
    /// - Throws: `FormatError` for a file that cannot be read, and whatever `body` throws.
    package func read(
        _ unit: InputUnit, from first: Int = 0, _ body: (Document) throws -> Void
    ) throws -> UnitResult {
        let file = try MappedFile(unit.path)
        var sum = SHA256()
        var report = DataReport()
        report.files = unit.isFirst && first == 0 ? 1 : 0
        try file.read(0..<file.bytes.count) { bytes in
            sum.update(bytes)
            switch unit.format {
            case .text where first > 0: break
            case .text: try record(bytes, unit.path, line: 1, number: 0, isFile: true, &report, body)
            case .lines: try lines(bytes, unit.path, first, &report, body)
            }
        }
        return UnitResult(
            report: report, source: Source(path: unit.path, bytes: file.bytes.count, sha256: sum.digest()))
    }

    /// Refuses what was read when too much of it cannot be used or there is no text in it.
    /// - Parameters:
    ///   - report: of everything read
    ///   - paths: what the caller was asked to read
    /// - Throws: `DataError` with the first findings.
    package func check(_ report: DataReport, _ paths: [String]) throws {
        let subject = paths.joined(separator: ", ")
        let findings = report.findings.map { "\n  \($0)" }.joined()
        guard report.malformedShare <= settings.malformedLimit else {
            throw DataError(
                subject,
                "\(report.malformed) of \(report.records) records cannot be used, allowed is a share of "
                    + "\(settings.malformedLimit)",
                advice: "correct them or raise the limit:\(findings)")
        }
        guard report.documents > 0 else {
            throw DataError(subject, "no text in \(report.files) files", advice: "name files with text\(findings)")
        }
    }

    private func lines(
        _ bytes: UnsafeRawBufferPointer, _ path: String, _ first: Int, _ report: inout DataReport,
        _ body: (Document) throws -> Void
    ) throws {
        guard !bytes.isEmpty else {
            report.records += 1
            report.note(\.empty, path, 1, "the file is empty; left out")
            return
        }
        var (start, line, number) = (0, 0, -1)
        while start < bytes.count {
            let end = bytes[start...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
            line += 1
            let content = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
            start = end + 1
            if content.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) { continue }
            number += 1
            if number >= first { try jsonLine(content, path, line, number, &report, body) }
        }
    }

    private func jsonLine(
        _ bytes: UnsafeRawBufferPointer, _ path: String, _ line: Int, _ number: Int, _ report: inout DataReport,
        _ body: (Document) throws -> Void
    ) throws {
        var replacements = 0
        let value: JSONValue
        do {
            if UTF8Sequence.firstInvalid(bytes) == nil {
                value = try JSONValue(parsing: bytes, file: path)
            } else {
                let repaired = UTF8Sequence.repaired(bytes)
                replacements = repaired.replacements
                value = try repaired.bytes.withUnsafeBytes { try JSONValue(parsing: $0, file: path) }
            }
        } catch let error as FormatError {
            report.records += 1
            report.note(\.malformed, path, line, "\(error.rule); left out")
            return
        }
        guard let text = value[settings.textField]?.string else {
            report.records += 1
            report.note(\.malformed, path, line, "no text under \"\(settings.textField)\"; left out")
            return
        }
        guard Double(replacements) <= Self.repairableShare * Double(bytes.count) else {
            report.records += 1
            report.note(\.malformed, path, line, "\(replacements) invalid bytes, this is no UTF-8; left out")
            return
        }
        if replacements > 0 {
            report.note(\.repaired, path, line, "\(replacements) invalid bytes replaced by U+FFFD")
        }
        try Array(text.utf8).withUnsafeBytes {
            try record($0, path, line: line, number: number, isFile: false, &report, body)
        }
    }

    private func record(
        _ bytes: UnsafeRawBufferPointer, _ path: String, line: Int, number: Int, isFile: Bool,
        _ report: inout DataReport, _ body: (Document) throws -> Void
    ) throws {
        report.records += 1
        let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
        let text = isFile && bytes.starts(with: byteOrderMark) ? UnsafeRawBufferPointer(rebasing: bytes[3...]) : bytes
        guard !text.isEmpty else {
            report.note(\.empty, path, line, "no text; left out")
            return
        }
        guard let bad = UTF8Sequence.firstInvalid(text) else {
            try deliver(text, path, line: line, number: number, isFile: isFile, &report, body)
            return
        }
        let badLine = line + text[..<bad].reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        let repaired = UTF8Sequence.repaired(text)
        guard Double(repaired.replacements) <= Self.repairableShare * Double(text.count) else {
            report.note(
                \.malformed, path, badLine, "\(repaired.replacements) invalid bytes, this is no UTF-8; left out")
            return
        }
        report.note(\.repaired, path, badLine, "\(repaired.replacements) invalid bytes replaced by U+FFFD")
        try repaired.bytes.withUnsafeBytes {
            try deliver($0, path, line: line, number: number, isFile: isFile, &report, body)
        }
    }

    private func deliver(
        _ text: UnsafeRawBufferPointer, _ path: String, line: Int, number: Int, isFile: Bool,
        _ report: inout DataReport, _ body: (Document) throws -> Void
    ) throws {
        if text.count > settings.longestDocument {
            report.note(\.cut, path, line, "\(text.count) bytes, cut into documents of \(settings.longestDocument)")
        }
        var rest = text[...]
        while !rest.isEmpty {
            var end = min(rest.startIndex + settings.longestDocument, rest.endIndex)
            // Not inside a character: its bytes behind the first are 10xxxxxx.
            while end < rest.endIndex, text[end] & 0xc0 == 0x80 { end -= 1 }
            report.documents += 1
            report.textBytes += end - rest.startIndex
            let piece = UnsafeRawBufferPointer(rebasing: rest[..<end])
            try body(Document(bytes: piece, isFile: isFile, record: number))
            rest = rest[end...]
        }
    }
}
