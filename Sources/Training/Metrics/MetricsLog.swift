/// `metrics.jsonl`: one line a record, appended and handed to the system at once.
import GDNFormats
import GDNTensor

/// Appends records to a file.
package final class MetricsLog {
    private let path: String
    private let descriptor: Int32

    /// Opens the file for appending, creating it when it does not exist.
    ///
    /// A line that a killed process left unfinished is ended, so that it spoils no other.
    /// - Throws: `FormatError` when that is not allowed.
    package init(_ path: String) throws {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw FormatError.system("open for appending", file: path) }
        var last: UInt8 = 0x0a
        let size = lseek(descriptor, 0, SEEK_END)
        if size > 0, pread(descriptor, &last, 1, size - 1) == 1, last != 0x0a { try append("\n") }
    }

    deinit {
        if descriptor >= 0 { _ = close(descriptor) }
    }

    /// Appends a record.
    /// - Throws: `FormatError` when the disk is full.
    package func write(_ record: MetricsRecord) throws {
        try append(record.json.text() + "\n")
    }

    private func append(_ text: String) throws {
        let error = writeAll(text, to: descriptor)
        guard error == 0 else { throw FormatError.system("write", file: path, error) }
    }

    /// Reads the records of a run in the order of their steps, without those that a resumed process replaced.
    /// - Returns: records, and the number of lines that are no records
    /// - Throws: `FormatError` when the file cannot be read.
    package static func read(_ path: String) throws -> (records: [MetricsRecord], malformed: Int) {
        let file = try MappedFile(path)
        return withExtendedLifetime(file) { records(in: UnsafeRawBufferPointer(file.bytes), path) }
    }

    private static func records(in bytes: UnsafeRawBufferPointer, _ path: String) -> ([MetricsRecord], Int) {
        var records: [MetricsRecord] = []
        var malformed = 0
        for line in bytes.split(separator: 0x0a) {
            guard let json = try? JSONValue(parsing: UnsafeRawBufferPointer(rebasing: line), file: path),
                let record = MetricsRecord(json)
            else {
                malformed += 1
                continue
            }
            if case .resume(let step) = record {
                records.removeAll { $0.step > step }
            } else {
                records.append(record)
            }
        }
        return (records, malformed)
    }
}
