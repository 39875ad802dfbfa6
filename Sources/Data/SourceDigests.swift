import GDNFormats
import GDNTensor

/// Checksums of files that are read in parts, computed beside the reading: each by a pass of its own over the file.
///
/// At the end of a part they once were: everybody then waited for the pass.
final class SourceDigests: Sendable {
    private typealias Digest = Monitor<Result<DocumentReader.Source, any Error>?>

    private let reader: DocumentReader
    private let digests = Guarded<[String: Digest]>([:])

    init(_ reader: DocumentReader) { self.reader = reader }

    /// Begins with a file, unless that was done before.
    /// - Throws: `DataError` when no thread can be started.
    func begin(_ path: String) throws {
        let digest: Digest? = digests.withLock { digests in
            guard digests[path] == nil else { return nil }
            let digest = Digest(nil)
            digests[path] = digest
            return digest
        }
        guard let digest else { return }
        let reader = reader
        let thread = try WorkerThread {
            let result = Result { try reader.source(of: path) }
            digest.change { $0 = result }
        }
        thread.detach()
    }

    /// Waits for a file's checksum and forgets it; computes it when nobody has begun.
    /// - Throws: `FormatError` when the file cannot be read.
    func take(_ path: String) throws -> DocumentReader.Source {
        let digest = digests.withLock { $0.removeValue(forKey: path) }
        return try digest?.wait { $0 }.get() ?? reader.source(of: path)
    }
}
