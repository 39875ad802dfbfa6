import GDNFormats
import GDNTensor
import GDNTokenizers

/// Writes the shards of one part of the data; begins a new one when the present one is full.
///
/// Where shards end depends on the documents alone, not on how they come in chunks. What waits for the disk (making a
/// full shard durable) is handed to `later`.
final class PartWriter {
    /// Where a part stands.
    struct Checkpoint: Sendable, Codable, Equatable {
        /// Totals, and the shards that are full.
        var part = DataManifest.Part(documents: 0, tokens: 0, textBytes: 0, shards: [])
        /// The shard being written.
        var open: TokenShardWriter.Checkpoint?
    }

    /// Work for later, in order.
    typealias Deferred = @Sendable () throws -> Void

    private let name: String
    private let folder: String
    private let tokenizer: any Tokenizer
    private let limit: Int
    private let later: (@escaping Deferred) -> Void
    private var state: Checkpoint
    private var writer: SharedWriter?

    /// A writer at its beginning, or at a checkpoint.
    init(
        _ name: String, _ folder: String, _ tokenizer: any Tokenizer, limit: Int, from checkpoint: Checkpoint?,
        later: @escaping (@escaping Deferred) -> Void
    ) throws {
        self.name = name
        self.folder = folder
        self.tokenizer = tokenizer
        self.limit = limit
        self.later = later
        state = checkpoint ?? Checkpoint()
        if let open = state.open {
            writer = try make(continuing: open)
        }
    }

    /// Appends documents.
    func append(_ documents: PackedDocuments) throws {
        let lengths = documents.lengths
        var first = 0
        while first < lengths.count {
            var (end, tokens) = (first, writer?.shard.tokenCount ?? 0)
            // A new shard takes one document, however long.
            if writer == nil {
                tokens += lengths[first]
                end += 1
            }
            while end < lengths.count, tokens + lengths[end] <= limit {
                tokens += lengths[end]
                end += 1
            }
            if end > first { try append(part: documents.part(first..<end)) }
            if end < lengths.count { try close() }
            first = end
        }
    }

    private func append(part documents: PackedDocuments) throws {
        let writer = try writer ?? make(continuing: nil)
        self.writer = writer
        try writer.shard.append(documents)
        state.part.documents += documents.lengths.count
        state.part.tokens += documents.tokenCount
        state.part.textBytes += documents.textBytes.reduce(0, +)
    }

    /// Tokens so far.
    var tokenCount: Int { state.part.tokens }

    /// Ends the last shard.
    func finish() throws { try close() }

    /// Notes where the part stands.
    /// - Returns: the checkpoint, and what makes the open shard durable.
    func checkpoint() throws -> (Checkpoint, durable: Deferred) {
        state.open = try writer?.shard.checkpoint()
        let writer = writer
        return (state, { try writer?.shard.synchronize() })
    }

    private func make(continuing checkpoint: TokenShardWriter.Checkpoint?) throws -> SharedWriter {
        SharedWriter(
            try TokenShardWriter(
                "\(folder)/\(nextFile)", vocabularySize: tokenizer.vocabularySize, tokenizer: tokenizer.identity,
                continuing: checkpoint, keepsUnfinished: true))
    }

    private var nextFile: String {
        let number = "\(state.part.shards.count)"
        return "\(name)-\(String(repeating: "0", count: max(0, 5 - number.count)))\(number).tokens"
    }

    private func close() throws {
        guard let writer else { return }
        let file = nextFile
        let checksum = try writer.shard.seal()
        state.part.shards.append(DataManifest.Shard(file: file, checksum: checksum.text))
        self.writer = nil
        later { try writer.shard.commit() }
    }

    /// A shard's writer that deferred work shares: it only synchronizes while the writer may append, and only
    /// commits when the writer has sealed it and let go.
    private final class SharedWriter: @unchecked Sendable {
        let shard: TokenShardWriter
        init(_ shard: TokenShardWriter) { self.shard = shard }
    }
}
