import ArgumentParser
import GDNTraining
import GatedDeltaNet

/// `gdn data prepare`: text to token shards.
struct DataPrepare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prepare", abstract: "Turn text into token shards that training maps into memory.",
        discussion: """
            Reads text, JSON lines (both also .gz and .zst), Parquet, folders and patterns of them, and - for standard \
            input. The bytes written do not depend on the number of threads. A run that was interrupted or killed is gone \
            on with by the same command; exit status 130 after SIGINT or SIGTERM.
            """)

    @Argument(help: "What to read.")
    var paths: [String]

    @Option(help: "The folder to write; train on it with data.train.")
    var into: String

    @Option(help: "byte, or a folder that holds a tokenizer.")
    var tokenizer = "byte"

    @Flag(help: "Byte tokenizer: token 256 ends every document.")
    var endOfDocument = false

    @Option(help: "Field of JSON lines, or column of Parquet, that holds the text.")
    var field = "text"

    @Option(parsing: .upToNextOption, help: "What to hold out as a whole; nothing else is, then.")
    var validation: [String] = []

    @Option(help: "Share of the text to hold out, 0 for none.")
    var validationShare = 0.05

    @Option(help: "What to hold out: automatic, tail (of every document) or documents.")
    var split = "automatic"

    @Option(help: "Most tokens of a shard.")
    var shardTokens = 1 << 28

    @Option(help: "Longest document in bytes; longer ones are cut.")
    var longestDocument = 1 << 24

    @Option(help: "Share of unusable records above which the preparation fails.")
    var malformedLimit = 0.05

    @Flag(help: "Use what comes before the damage in damaged compressed and Parquet files.")
    var keepDamaged = false

    @Option(help: "Tokenising threads; as many as processors when not given.")
    var threads: Int?

    @Option(help: "Seconds between entries in the journal.")
    var journalInterval = 10.0

    @Flag(help: "Begin again: drop what an interrupted run, or another preparation, has left in the folder.")
    var restart = false

    @Option(help: "shards, or bin to write packed files into the subfolder bin as well.")
    var format = "shards"

    @OptionGroup var packing: PackingOptions

    func validate() throws {
        if DataPreparation.Split(rawValue: split) == nil {
            throw ValidationError("--split \(split): expected automatic, tail or documents")
        }
        if format != "shards", format != "bin" { throw ValidationError("--format \(format): expected shards or bin") }
        if let threads, threads < 1 { throw ValidationError("--threads \(threads): expected at least 1") }
    }

    func run() throws {
        let tokenizer: any Tokenizer =
            tokenizer == "byte"
            ? try ByteTokenizer(endOfDocument: endOfDocument) : try TokenizerFile.load(from: tokenizer)
        let settings = DataPreparation.Settings(
            reading: .init(
                textField: field, longestDocument: longestDocument, malformedLimit: malformedLimit,
                keepsDamagedFiles: keepDamaged),
            split: DataPreparation.Split(rawValue: split) ?? .automatic, validationShare: validationShare,
            shardTokens: shardTokens)
        let preparation = try DataPreparation(tokenizer: tokenizer, settings: settings)
        let finished = restart ? nil : try preparation.isFinished(paths, validation: validation, in: into)
        guard finished != false else {
            throw ValidationError(
                "\(into) holds data prepared from other sources, with other settings or with another tokenizer; use another "
                    + "folder, or --restart to replace them")
        }
        if finished == nil {
            try prepare(preparation)
        } else {
            try preparation.tidy(into)
            Terminal.note("\(into) is prepared already")
        }
        if format == "bin" {
            try packing.export(PreparedData(folder: into, tokenizer: tokenizer), into: "\(into)/bin")
        }
    }

    private func prepare(_ preparation: DataPreparation) throws {
        let console = ProgressConsole()
        let stop = StopRequest(onSignals: true)
        var options = DataPreparation.Options()
        options.threads = threads
        options.restart = restart
        options.journalInterval = journalInterval
        options.shouldStop = { stop.isRequested }
        options.progress = { console.show($0) }
        let start = ContinuousClock.now
        do {
            let manifest = try preparation.run(
                paths, validation: validation, into: into, options: options)
            console.end(manifest, seconds: (ContinuousClock.now - start) / .seconds(1))
        } catch let interruption as DataPreparation.Interrupted {
            Terminal.note("\(interruption)")
            throw ExitCode(130)
        }
    }
}

/// Shows how a preparation goes: a live line on a terminal, else a line every ten seconds.
private final class ProgressConsole: @unchecked Sendable {
    // Only the thread that runs the preparation shows progress.
    private let console = Console(descriptor: 2)
    private var shown = ContinuousClock.now

    func show(_ progress: PreparationProgress) {
        let line = Self.line(progress)
        console.live(line)
        guard !console.isTerminal, ContinuousClock.now - shown >= .seconds(10) else { return }
        shown = ContinuousClock.now
        console.line(line)
    }

    func end(_ manifest: DataManifest, seconds: Double) {
        let tokens = Readable.count(Double(manifest.training.tokens))
        let held = manifest.validation.map { ", \(Readable.count(Double($0.tokens))) held out" } ?? ""
        let rate = Readable.fixed(Double(manifest.report.textBytes) / max(seconds, 1e-9) / 1e6, 1)
        console.line(
            "\(manifest.report.summary); \(tokens) tokens to train on\(held); \(Readable.duration(seconds)), \(rate) MB/s"
        )
        for finding in manifest.report.findings { console.line("  \(finding)") }
    }

    /// `34 %  1.2 GB  18.3 MB/s  301M tokens  ETA 2:05`
    static func line(_ progress: PreparationProgress) -> String {
        var parts = [
            "\(Readable.fixed(progress.share * 100, 0)) %", "\(Readable.fixed(Double(progress.textBytes) / 1e6, 0)) MB",
            "\(Readable.fixed(progress.bytesPerSecond / 1e6, 1)) MB/s",
            "\(Readable.count(Double(progress.tokens))) tokens",
        ]
        if let remaining = progress.remaining { parts.append("ETA \(Readable.duration(remaining))") }
        return parts.joined(separator: "  ")
    }
}
