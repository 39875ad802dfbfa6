import GDNFormats
import GDNTensor
import GDNTokenizers

/// Reads documents one after another from text files, JSON lines (both also compressed with gzip or Zstandard), Parquet,
/// folders of these and standard input.
///
/// Nothing is held in memory but the record at hand and a few buffers. Every text file is a document, every JSON line and
/// every row of a Parquet file one under the set field. Bad records never end the program: they are counted, the first ten
/// are kept with file and line, and only when more than a set share cannot be used is that an error.
public struct DocumentReader: Sendable {
    /// How to read.
    public struct Settings: Sendable, Codable, Equatable {
        /// The field of a JSON line, or the column of a Parquet file, that holds the text.
        public var textField: String
        /// Longest document in bytes; longer records are cut into several.
        public var longestDocument: Int
        /// Largest share of records that may be unusable, 0 … 1.
        public var malformedLimit: Double
        /// Longest JSON line and Parquet page in bytes that is held in memory; what is longer is left out as malformed.
        /// (Text files have no such limit.)
        public var longestRecord: Int
        /// Use what comes before the place where a compressed file or a Parquet file breaks off or is damaged, and count
        /// the file as damaged; otherwise that is an error, because mostly a download was not finished.
        public var keepsDamagedFiles: Bool
        /// What standard input holds, text or JSON lines; nil: JSON lines if it begins with a brace, else text.
        public var standardInput: InputFormat?

        /// Settings, with defaults for all.
        public init(
            textField: String = "text", longestDocument: Int = 1 << 24, malformedLimit: Double = 0.05,
            longestRecord: Int = 1 << 28, keepsDamagedFiles: Bool = false, standardInput: InputFormat? = nil
        ) {
            self.textField = textField
            self.longestDocument = longestDocument
            self.malformedLimit = malformedLimit
            self.longestRecord = longestRecord
            self.keepsDamagedFiles = keepsDamagedFiles
            self.standardInput = standardInput
        }

        /// Decodes settings; those that an older manifest does not have are the defaults.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            let defaults = Settings()
            textField = try values.decode(String.self, forKey: .textField)
            longestDocument = try values.decode(Int.self, forKey: .longestDocument)
            malformedLimit = try values.decode(Double.self, forKey: .malformedLimit)
            longestRecord = try values.decodeIfPresent(Int.self, forKey: .longestRecord) ?? defaults.longestRecord
            keepsDamagedFiles = try values.decodeIfPresent(Bool.self, forKey: .keepsDamagedFiles) ?? false
            standardInput = try values.decodeIfPresent(InputFormat.self, forKey: .standardInput)
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
        /// Checksum of its content: `crc32c:` and 8 hexadecimal digits; in manifests of version 1 `sha256:` and 64.
        public var checksum: String

        init(path: String, _ checksum: RunChecksum) {
            (self.path, bytes, self.checksum) = (path, checksum.bytes, checksum.text)
        }

        /// Decodes a source, of a manifest of version 1 too.
        public init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: CodingKeys.self)
            path = try values.decode(String.self, forKey: .path)
            bytes = try values.decode(Int.self, forKey: .bytes)
            checksum = try DataManifest.checksum(decoder)
        }
    }

    /// How to read.
    public let settings: Settings
    /// Plain JSON lines larger than twice this are divided into units of this many bytes, and row groups of Parquet are put
    /// together up to it.
    package var unitBytes = 1 << 26

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
        guard settings.longestRecord >= 1 << 10, settings.longestRecord < 1 << 31 else {
            throw DataError(
                "longest record", "\(settings.longestRecord) bytes", advice: "allow 1024 to 2147483647 bytes")
        }
        guard settings.standardInput != .parquet else {
            throw DataError(
                "standard input", "Parquet is read from its end, standard input from its beginning",
                advice: "name the file")
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
        let units = try units(of: paths, ignored: &report.ignoredFiles)
        var checksum = RunChecksum()
        for (index, unit) in units.enumerated() {
            let result = try read(unit, body)
            report.merge(result.report)
            if let part = result.checksum { checksum = checksum.joined(with: part) }
            guard index + 1 == units.count || units[index + 1].isFirst else { continue }
            sources.append(
                try result.checksum == nil ? source(of: unit.path) : Source(path: unit.path, checksum))
            checksum = RunChecksum()
        }
        try resolveLines(of: &report)
        try check(report, paths)
        return (report, sources)
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
}
