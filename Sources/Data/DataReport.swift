/// What was found while reading documents: how much, and what was wrong with it.
public struct DataReport: Sendable, Codable, Equatable {
    /// Files read.
    public var files = 0
    /// Files of a folder that are neither text nor JSON lines, not read.
    public var ignoredFiles = 0
    /// Text files and JSON lines met, good or bad.
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
    /// The first ten findings.
    public var findings: [Finding] = []

    /// One thing that was wrong, and where.
    public struct Finding: Sendable, Codable, Equatable, CustomStringConvertible {
        /// The file.
        public var file: String
        /// The line, counted from 1.
        public var line: Int
        /// What was wrong and what was done about it.
        public var what: String

        /// `file:line: what`
        public var description: String { "\(file):\(line): \(what)" }
    }

    /// An empty report.
    public init() {}

    /// Share of records that cannot be used.
    public var malformedShare: Double { records == 0 ? 0 : Double(malformed) / Double(records) }

    /// One paragraph for a person; what did not happen is not mentioned.
    public var summary: String {
        let counts = [
            (empty, "empty, left out"), (repaired, "with invalid UTF-8, repaired"),
            (cut, "over-long, cut"), (malformed, "malformed, left out"), (ignoredFiles, "other files, ignored"),
        ]
        let parts = counts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        return (["\(documents) documents, \(textBytes) bytes from \(files) files"] + parts).joined(separator: "; ")
    }

    mutating func note(_ count: WritableKeyPath<DataReport, Int>, _ file: String, _ line: Int, _ what: String) {
        self[keyPath: count] += 1
        if findings.count < 10 { findings.append(Finding(file: file, line: line, what: what)) }
    }
}
