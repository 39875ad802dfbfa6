/// What was found while reading documents: how much, and what was wrong with it.
public struct DataReport: Sendable, Codable, Equatable {
    /// Files read.
    public var files = 0
    /// Files of a folder that no reader is for, not read.
    public var ignoredFiles = 0
    /// Text files, JSON lines and rows met, good or bad.
    public var records = 0
    /// Documents delivered (a record that was cut gives several).
    public var documents = 0
    /// Their bytes of text.
    public var textBytes = 0
    /// Records without text; left out.
    public var empty = 0
    /// Records with bytes that are no UTF-8; kept, with U+FFFD in their place.
    public var repaired = 0
    /// Records longer than the set limit; kept, cut into documents.
    public var cut = 0
    /// Records that cannot be used; left out.
    public var malformed = 0
    /// Files that break off or are damaged inside; kept up to there.
    public var damaged = 0
    /// The first ten findings.
    public var findings: [Finding] = []

    /// One thing that was wrong, and where.
    public struct Finding: Sendable, Codable, Equatable, CustomStringConvertible {
        /// The file.
        public var file: String
        /// The line or row, counted from 1.
        public var line: Int
        /// The byte that lines are counted from until `DocumentReader.resolveLines(of:)` has been called; nil: the
        /// beginning of the file.
        package var offset: Int?
        /// What was wrong and what was done about it.
        public var what: String

        /// `file:line: what`
        public var description: String {
            offset.map { "\(file):line \(line) from byte \($0) on: \(what)" } ?? "\(file):\(line): \(what)"
        }
    }

    /// An empty report.
    public init() {}

    /// Decodes a report; what an older manifest does not count is 0.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        files = try values.decode(Int.self, forKey: .files)
        ignoredFiles = try values.decode(Int.self, forKey: .ignoredFiles)
        records = try values.decode(Int.self, forKey: .records)
        documents = try values.decode(Int.self, forKey: .documents)
        textBytes = try values.decode(Int.self, forKey: .textBytes)
        empty = try values.decode(Int.self, forKey: .empty)
        repaired = try values.decode(Int.self, forKey: .repaired)
        cut = try values.decode(Int.self, forKey: .cut)
        malformed = try values.decode(Int.self, forKey: .malformed)
        damaged = try values.decodeIfPresent(Int.self, forKey: .damaged) ?? 0
        findings = try values.decode([Finding].self, forKey: .findings)
    }

    /// Share of records that cannot be used.
    public var malformedShare: Double { records == 0 ? 0 : Double(malformed) / Double(records) }

    /// One paragraph for a person; what did not happen is not mentioned.
    public var summary: String {
        let counts = [
            (empty, "empty, left out"), (repaired, "with invalid UTF-8, repaired"),
            (cut, "over-long, cut"), (malformed, "malformed, left out"), (damaged, "damaged files, used up to there"),
            (ignoredFiles, "other files, ignored"),
        ]
        let parts = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        return (["\(documents) documents, \(textBytes) bytes from \(files) files"] + parts).joined(separator: "; ")
    }

    /// Adds what another reading found; units in their order give the same findings as one reading of them all.
    package mutating func merge(_ other: DataReport) {
        files += other.files
        ignoredFiles += other.ignoredFiles
        records += other.records
        documents += other.documents
        textBytes += other.textBytes
        empty += other.empty
        repaired += other.repaired
        cut += other.cut
        malformed += other.malformed
        damaged += other.damaged
        findings = Array((findings + other.findings).prefix(10))
    }

    mutating func note(_ count: WritableKeyPath<DataReport, Int>, _ place: Place, _ what: @autoclosure () -> String) {
        self[keyPath: count] += 1
        guard findings.count < 10 else { return }
        findings.append(Finding(file: place.path, line: place.line, offset: place.offset, what: what()))
    }

    mutating func note(
        _ count: WritableKeyPath<DataReport, Int>, _ file: String, _ line: Int, _ what: @autoclosure () -> String
    ) {
        note(count, Place(path: file, line: line, record: 0), what())
    }
}
