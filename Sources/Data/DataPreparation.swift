import GDNFormats
import GDNTensor
import GDNTokenizers

/// Turns text into a folder of token shards: read, divide into training and validation, tokenise, write.
///
/// The bytes written depend on the input, the tokenizer and the settings, not on threads or interruptions: a run that
/// was killed goes on where its journal says, and nothing is lost or doubled.
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

    /// How a preparation runs; nothing here changes what is written.
    public struct Options: Sendable {
        /// Tokenising threads; nil: as many as processors.
        public var threads: Int?
        /// Whether what an interrupted run has left is dropped.
        public var restart = false
        /// Seconds between entries in the journal.
        public var journalInterval = 10.0
        /// Receives progress, several times a second.
        public var progress: (@Sendable (PreparationProgress) -> Void)?
        /// Asked all the time; true ends the run with `Interrupted`.
        public var shouldStop: (@Sendable () -> Bool)?

        /// Whether an interrupted preparation of something else is dropped rather than refused.
        package var restartsOthers = false
        /// Bytes of text that a thread takes at a time.
        package var chunkBytes = 1 << 20

        /// Options, with defaults for all.
        public init() {}
    }

    /// A run that was asked to stop; the same call goes on with it.
    public struct Interrupted: Error, CustomStringConvertible, Sendable {
        /// Tokens that are safe.
        public let tokens: Int
        /// One sentence.
        public var description: String {
            "preparation interrupted after \(tokens) tokens; the same command goes on from there"
        }
    }

    let tokenizer: any Tokenizer
    let settings: Settings
    package var reader: DocumentReader

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

    /// Reads the input, writes `train-00000.tokens`, …, `validation-00000.tokens`, … and, last, `manifest.json`. Goes on
    /// with what an interrupted run of the same settings and input has left in the folder.
    /// - Parameters:
    ///   - paths: what to read
    ///   - validation: what to hold out; when given, nothing of `paths` is
    ///   - folder: made if it is not there; shards of the same names are replaced
    /// - Returns: the manifest.
    /// - Throws: `Interrupted`; `FormatError` for files that cannot be read or written; `DataError` when too much of the
    ///   data is unusable, nothing is left on one side, or the folder holds an unfinished preparation of something else.
    public func run(
        _ paths: [String], validation: [String] = [], into folder: String, options: Options = Options()
    ) throws -> DataManifest {
        guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw FormatError.system("mkdir", file: folder) }
        let lock = try FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        var ignored = 0
        let plan = try PreparationPlan(
            paths, validation: validation, tokenizer: tokenizer, settings: settings, reader: reader, ignored: &ignored)
        let files = PreparationFiles(folder: folder)
        guard unlink("\(folder)/\(DataManifest.name)") == 0 || errno == ENOENT else {
            throw FormatError.system("unlink", file: "\(folder)/\(DataManifest.name)")
        }
        let journal = try begin(plan, files, options)
        let run = try PreparationRun(self, plan, journal, files, options)
        var end = try run.run()
        end.report.ignoredFiles += ignored
        try reader.resolveLines(of: &end.report)
        try reader.resolveLines(of: &end.validationReport)
        let manifest = try manifest(end, paths, validation)
        try manifest.save(in: folder)
        try files.remove()
        return manifest
    }

    /// Whether a folder holds what `run` would write, by the names and sizes of the sources; nil when it holds no
    /// finished preparation at all.
    /// - Throws: `FormatError` for what cannot be found.
    package func isFinished(_ paths: [String], validation: [String], in folder: String) throws -> Bool? {
        guard let manifest = try? DataManifest(folder: folder) else { return nil }
        var ignored = 0
        func agree(_ paths: [String], _ sources: [DocumentReader.Source]) throws -> Bool {
            let files = try paths.flatMap { try FileList.files(at: $0, ignored: &ignored) }
            return files.map { "\($0.path) \($0.bytes)" } == sources.map { "\($0.path) \($0.bytes)" }
        }
        return try manifest.tokenizer == tokenizer.identity && manifest.settings == settings
            && agree(paths, manifest.sources) && agree(validation, manifest.validationSources)
    }

    /// Removes what a process has left that was killed after the manifest of a finished preparation was written.
    /// - Throws: `DataError` when another process is at work there, `FormatError` when it cannot be removed.
    package func tidy(_ folder: String) throws {
        let lock = try FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        try PreparationFiles(folder: folder).remove()
    }

    /// Removes the shards and journals of earlier preparations from a folder, if it is there.
    /// - Throws: `DataError` when another process is at work there, `FormatError` when they cannot be removed.
    package func clear(_ folder: String) throws {
        guard access(folder, F_OK) == 0 else { return }
        let lock = try FolderLock(folder)
        defer { withExtendedLifetime(lock) {} }
        try PreparationFiles(folder: folder).remove()
        PreparationFiles(folder: folder).removeShards()
    }

    /// Where to begin: at the journal's place, or at the beginning of a cleared folder.
    private func begin(
        _ plan: PreparationPlan, _ files: PreparationFiles, _ options: Options
    ) throws -> PreparationJournal {
        if !options.restart, let begun = try options.restartsOthers ? try? files.plan() : files.plan() {
            let difference = plan.difference(from: begun)
            if difference == nil {
                if !options.restartsOthers { return try files.journal() }
                if let journal = try? files.journal() { return journal }
            } else if let difference, !options.restartsOthers {
                throw DataError(
                    files.folder, "holds an unfinished preparation that was begun with \(difference)",
                    advice: "finish that one, use another folder, or begin again with --restart")
            }
        }
        try files.remove()
        files.removeShards()
        try files.save(plan)
        return PreparationJournal()
    }

    private func manifest(
        _ end: PreparationJournal, _ paths: [String], _ validation: [String]
    ) throws -> DataManifest {
        try reader.check(end.report, paths)
        var report = end.report
        if !validation.isEmpty {
            try reader.check(end.validationReport, validation)
            report.merge(end.validationReport)
        }
        let (training, heldOut) = (end.training.part, end.validation.part)
        let wanted = !validation.isEmpty || settings.validationShare > 0
        guard training.tokens > 1, !wanted || heldOut.tokens > 1 else {
            throw DataError(
                paths.joined(separator: ", "),
                "\(training.tokens) tokens to train on and \(heldOut.tokens) held out are too few",
                advice: "use more text, another validation share, or the split tail")
        }
        return DataManifest(
            tokenizer: tokenizer.identity, vocabularySize: tokenizer.vocabularySize, settings: settings,
            sources: end.sources, validationSources: end.validationSources, report: report, training: training,
            validation: wanted ? heldOut : nil)
    }
}
