import GDNTensor
import ArgumentParser
import GatedDeltaNet

/// `gdn tokenizer train`
struct TokenizerTrain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Train a tokenizer on text files.",
        discussion: """
            byte-bpe writes a Hugging Face tokenizer.json with the merges that the Python package tokenizers would learn; \
            sentencepiece-bpe writes a SentencePiece model with byte fallback. The result does not depend on the number \
            of threads.
            """)

    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case byteBPE = "byte-bpe"
        case sentencePieceBPE = "sentencepiece-bpe"
    }

    enum Pattern: String, ExpressibleByArgument, CaseIterable { case gpt2, llama3, qwen }

    @Option(help: "Kind of tokenizer.")
    var kind: Kind

    @Option(help: "Number of tokens in all.")
    var vocabularySize: Int

    @Option(parsing: .upToNextOption, help: "Text files; a folder stands for the .txt and .md files in it.")
    var input: [String]

    @Option(help: "File to write, or a folder that exists: tokenizer.json or tokenizer.model in it.")
    var output: String

    @Option(help: "byte-bpe: how text is cut into words; qwen normalizes to NFC too.")
    var pattern: Pattern = .gpt2

    @Option(
        parsing: .upToNextOption,
        help:
            "Special tokens; byte-bpe has <|endoftext|> when none are given, sentencepiece-bpe <unk>, <s> and </s> anyway."
    )
    var specialTokens: [String] = []

    @Option(help: "Pairs that occur less often are not merged.")
    var minimumFrequency = 1

    @Option(help: "Threads; as many as processors when not given.")
    var threads: Int?

    func validate() throws {
        if let threads, threads < 1 { throw ValidationError("--threads must be at least 1") }
        if minimumFrequency < 1 { throw ValidationError("--minimum-frequency must be at least 1") }
        if input.isEmpty { throw ValidationError("--input needs at least one file") }
        if kind == .sentencePieceBPE, pattern != .gpt2 { throw ValidationError("--pattern is for --kind byte-bpe") }
    }

    func run() throws {
        let stop = StopRequest(onSignals: true)
        let line = TrainingLine()
        let progress: @Sendable (TokenizerTrainingProgress) -> Bool = { progress in
            line.show(progress)
            return !stop.isRequested
        }
        let files = try input.flatMap(TrainingFiles.list)
        let content: [UInt8]?
        switch kind {
        case .byteBPE:
            var trainer = try BytePairTrainer(vocabularySize: vocabularySize, pattern: pattern.rawValue)
            if !specialTokens.isEmpty { trainer.specialTokens = specialTokens }
            (trainer.minimumFrequency, trainer.threads) = (minimumFrequency, threads ?? processorCount())
            content = try trainer.train(on: files, progress: progress)
        case .sentencePieceBPE:
            var trainer = SentencePieceTrainer(vocabularySize: vocabularySize)
            trainer.specialTokens = specialTokens
            (trainer.minimumFrequency, trainer.threads) = (minimumFrequency, threads ?? processorCount())
            content = try trainer.train(on: files, progress: progress)
        }
        guard let content else {
            line.finish("interrupted: nothing was written")
            throw ExitCode(130)
        }
        let path = TrainingFiles.isFolder(output) ? "\(output)/\(fileName)" : output
        try OutputFile.replace(path) { try $0.write(content) }
        line.finish("\(path): \(try TokenizerFile.load(from: path).vocabularySize) tokens")
    }

    private var fileName: String {
        kind == .byteBPE ? BytePairTokenizer.jsonName : SentencePieceTokenizer.fileName
    }
}

/// The progress of a training: a line written over on a terminal, elsewhere a line for each tenth.
private final class TrainingLine: Sendable {
    private let state = Guarded((console: Console(descriptor: 2), last: -1))

    func show(_ progress: TokenizerTrainingProgress) {
        let (text, tenths): (String, Int)
        switch progress {
        case .counting(let bytes, let total):
            tenths = bytes * 10 / max(1, total)
            text = "counting words: \(bytes / 1_000_000) of \(total / 1_000_000) MB"
        case .merging(let merges, let total):
            tenths = 11 + merges * 10 / max(1, total)
            text = "merging: \(merges) of \(total)"
        }
        state.withLock { state in
            if state.console.isTerminal {
                state.console.live(text)
            } else if tenths != state.last {
                state.console.line(text)
            }
            state.last = tenths
        }
    }

    func finish(_ text: String) { state.withLock { $0.console.line(text) } }
}

/// Names of text files.
private enum TrainingFiles {
    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    /// A file itself, or the text files of a folder in the order of their names.
    static func list(_ path: String) throws -> [String] {
        guard isFolder(path) else { return [path] }
        guard let folder = opendir(path) else {
            throw FormatError(file: path, rule: "cannot be read", advice: "check the permissions")
        }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if !name.hasPrefix("."), name.hasSuffix(".txt") || name.hasSuffix(".md") { names.append(name) }
        }
        guard !names.isEmpty else {
            throw FormatError(file: path, rule: "holds no .txt or .md file", advice: "name files instead")
        }
        return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.map { "\(path)/\($0)" }
    }
}
