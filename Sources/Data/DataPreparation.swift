import GDNFormats
import GDNTensor
import GDNTokenizers

/// Turns files of text into a folder of token shards: read, divide into training and validation, tokenize, write.
public struct DataPreparation: Sendable {
    /// How documents are read and divided.
    public struct Settings: Sendable, Codable, Equatable {
        /// How files become documents.
        public var reading: DocumentReader.Settings
        /// Which text is held out.
        public var split: Split
        /// Share of text held out, 0 ..< 1; 0 for none.
        public var validationShare: Double
        /// Most tokens a shard (a single longer document still goes into one).
        public var shardTokens: Int

        /// Settings, with defaults for all.
        public init(
            reading: DocumentReader.Settings = .init(), split: Split = .automatic, validationShare: Double = 0.05,
            shardTokens: Int = 1 << 28
        ) {
            self.reading = reading
            self.split = split
            self.validationShare = validationShare
            self.shardTokens = shardTokens
        }
    }

    /// Which text is held out.
    public enum Split: String, Sendable, Codable, CaseIterable {
        /// The tail of text files, whole documents of JSON lines.
        case automatic
        /// The last share of every document, from the beginning of a line.
        case tail
        /// Whole documents, chosen by a hash of their text: the same text is never on both sides, and a document
        /// stays on its side whatever is added around it.
        case documents
    }

    private let tokenizer: any Tokenizer
    private let settings: Settings
    private let reader: DocumentReader

    /// A preparation.
    /// - Throws: `DataError` when a setting is impossible.
    public init(tokenizer: any Tokenizer, settings: Settings = Settings()) throws {
        guard settings.validationShare >= 0, settings.validationShare < 1 else {
            throw DataError(
                "validation share", "\(settings.validationShare) is not in 0 ..< 1", advice: "use e.g. 0.05")
        }
        guard settings.shardTokens > 0 else {
            throw DataError("shard tokens", "\(settings.shardTokens) is not positive", advice: "use e.g. 268435456")
        }
        self.tokenizer = tokenizer
        self.settings = settings
        reader = try DocumentReader(settings.reading)
    }

    /// Reads the files, writes `train-00000.tokens`, …, `validation-00000.tokens`, … and, last, `manifest.json`.
    /// - Parameters:
    ///   - paths: text files, JSON lines, folders of them
    ///   - validation: files to hold out; when given, nothing of `paths` is
    ///   - folder: made if it is not there; shards of the same names are overwritten
    /// - Returns: the manifest.
    /// - Throws: `FormatError` for files that cannot be read or written; `DataError` when too much of the data is
    ///   unusable or nothing is left on one side.
    public func run(_ paths: [String], validation: [String] = [], into folder: String) throws -> DataManifest {
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw FormatError.system("mkdir", file: folder) }
        guard unlink("\(folder)/\(DataManifest.name)") == 0 || errno == ENOENT else {
            throw FormatError.system("unlink", file: "\(folder)/\(DataManifest.name)")
        }
        let training = PartWriter("train", folder, tokenizer, settings.shardTokens)
        let heldOut = PartWriter("validation", folder, tokenizer, settings.shardTokens)
        var (report, sources) = try reader.read(paths) { document in
            guard validation.isEmpty, settings.validationShare > 0 else { return try training.append(document.bytes) }
            let cut = cut(document)
            try training.append(UnsafeRawBufferPointer(rebasing: document.bytes[..<cut]))
            try heldOut.append(UnsafeRawBufferPointer(rebasing: document.bytes[cut...]))
        }
        var validationSources: [DocumentReader.Source] = []
        if !validation.isEmpty {
            let second = try reader.read(validation) { try heldOut.append($0.bytes) }
            report.merge(second.report)
            validationSources = second.sources
        }
        let parts = try (training.finish(), heldOut.finish())
        let wanted = !validation.isEmpty || settings.validationShare > 0
        guard parts.0.tokens > 1, !wanted || parts.1.tokens > 1 else {
            throw DataError(
                paths.joined(separator: ", "),
                "\(parts.0.tokens) tokens to train on and \(parts.1.tokens) held out are too few",
                advice: "use more text, another validation share, or the split tail")
        }
        let manifest = DataManifest(
            tokenizer: tokenizer.identity, vocabularySize: tokenizer.vocabularySize, settings: settings,
            sources: sources, validationSources: validationSources, report: report, training: parts.0,
            validation: wanted ? parts.1 : nil)
        try manifest.save(in: folder)
        return manifest
    }

    /// Where the held-out part of a document begins: at its end, at its beginning, or between.
    private func cut(_ document: DocumentReader.Document) -> Int {
        let bytes = document.bytes
        let byTail = settings.split == .tail || settings.split == .automatic && document.isFile
        guard byTail else { return isHeldOut(bytes) ? 0 : bytes.count }
        let target = Int(Double(bytes.count) * (1 - settings.validationShare))
        if let end = bytes[target...].firstIndex(of: UInt8(ascii: "\n")), end + 1 < bytes.count { return end + 1 }
        var cut = target
        while cut > 0, bytes[cut] & 0xc0 == 0x80 { cut -= 1 }
        return cut
    }

    private func isHeldOut(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var sum = CRC32C()
        sum.update(bytes)
        var random = Random(seed: UInt64(sum.value) << 32 ^ UInt64(bytes.count))
        return random.uniform() < settings.validationShare
    }
}

/// Writes the shards of one part; begins a new one when the present one is full.
private final class PartWriter {
    private let name: String
    private let folder: String
    private let tokenizer: any Tokenizer
    private let limit: Int
    private var writer: TokenShardWriter?
    private var part = DataManifest.Part(documents: 0, tokens: 0, textBytes: 0, shards: [])
    private var tokens: [Int32] = []

    init(_ name: String, _ folder: String, _ tokenizer: any Tokenizer, _ limit: Int) {
        self.name = name
        self.folder = folder
        self.tokenizer = tokenizer
        self.limit = limit
    }

    func append(_ text: UnsafeRawBufferPointer) throws {
        guard !text.isEmpty else { return }
        tokens.removeAll(keepingCapacity: true)
        if let begin = tokenizer.beginOfDocument { tokens.append(begin) }
        tokenizer.encode(text, into: &tokens)
        if let end = tokenizer.endOfDocument { tokens.append(end) }
        if let writer, writer.tokenCount + tokens.count > limit { try close(writer) }
        let writer = try writer ?? open()
        try writer.append(tokens, textBytes: text.count)
        part.documents += 1
        part.tokens += tokens.count
        part.textBytes += text.count
    }

    func finish() throws -> DataManifest.Part {
        if let writer { try close(writer) }
        return part
    }

    private func open() throws -> TokenShardWriter {
        let number = "\(part.shards.count)"
        let file = "\(name)-\(String(repeating: "0", count: max(0, 5 - number.count)))\(number).tokens"
        let writer = try TokenShardWriter(
            "\(folder)/\(file)", vocabularySize: tokenizer.vocabularySize, tokenizer: tokenizer.identity)
        part.shards.append(DataManifest.Shard(file: file, sha256: ""))
        self.writer = writer
        return writer
    }

    private func close(_ writer: TokenShardWriter) throws {
        try writer.finish()
        let last = part.shards.count - 1
        part.shards[last].sha256 = try SHA256.digest(contentsOf: "\(folder)/\(part.shards[last].file)")
        self.writer = nil
    }
}
