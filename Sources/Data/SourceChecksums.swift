import GDNFormats
import GDNTensor

/// Checksums of Parquet files, which are not read front to back: each by a pass of its own, beside the reading.
///
/// At the end of a unit they once were: everybody then waited for the pass.
final class SourceChecksums: Sendable {
    private typealias Checksum = Monitor<Result<RunChecksum, any Error>?>

    private let checksums = Guarded<[String: Checksum]>([:])

    /// Begins with a file, unless that was done before.
    /// - Throws: `DataError` when no thread can be started.
    func begin(_ path: String) throws {
        let checksum: Checksum? = checksums.withLock { checksums in
            guard checksums[path] == nil else { return nil }
            let checksum = Checksum(nil)
            checksums[path] = checksum
            return checksum
        }
        guard let checksum else { return }
        let thread = try WorkerThread {
            let result = Result { try RunChecksum(of: path) }
            checksum.change { $0 = result }
        }
        thread.detach()
    }

    /// Waits for a file's checksum and forgets it; computes it when nobody has begun.
    /// - Throws: `FormatError` when the file cannot be read.
    func take(_ path: String) throws -> RunChecksum {
        let checksum = checksums.withLock { $0.removeValue(forKey: path) }
        return try checksum?.wait { $0 }.get() ?? RunChecksum(of: path)
    }
}
