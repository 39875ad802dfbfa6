import ArgumentParser
import FoundationEssentials
import GatedDeltaNet

/// `gdn evaluate`: loss on held-out text by context length.
struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a model on text: loss, perplexity and bits per byte by context length.",
        discussion: """
            At each length the text is cut into windows that do not overlap, each read from an empty state; the state
            also restarts where a document begins. The same numbers are printed as JSON with --json.
            """)

    @OptionGroup var device: DeviceOptions

    @Option(help: "Model folder.")
    var model: String

    @Option(help: "Text file, JSON lines with a field `text`, or a folder of them.")
    var data: String

    @Option(help: "Context lengths in tokens, with commas between.")
    var lengths = "512,1024,2048"

    @Option(help: "At most this many tokens at each length.")
    var maxTokens: Int?

    @Option(help: "Tokens of one forward pass.")
    var tokensPerPass = 8192

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let lengths = try lengths.split(separator: ",").map { part in
            guard let length = Int(part), length > 0 else {
                throw ValidationError("--lengths \(self.lengths): expected numbers above 0 with commas between")
            }
            return length
        }
        let tokenizer = try textTokenizer(of: model)
        let language = try ModelFolder.load(model, backend: device.makeBackend())
        let stream = try withScratchFolder { folder in
            try PreparedData.open(
                [data], tokenizer: tokenizer, settings: .init(validationShare: 0), in: folder
            ).training
        }
        guard stream.vocabularySize <= language.configuration.vocabularySize else {
            throw EvaluationError(
                "the tokenizer has \(stream.vocabularySize) tokens, the model \(language.configuration.vocabularySize)")
        }
        let results = try LengthEvaluation(
            lengths: lengths, tokensPerPass: tokensPerPass, tokenLimit: maxTokens ?? .max
        ).run(
            language, source: PackedEvaluation(stream),
            bytesPerToken: stream.textBytes.map { Double($0) / Double(stream.tokenCount) })
        if json { return try Terminal.json(results) }
        let header = ["length", "tokens", "loss", "perplexity", "bits/byte"]
        let rows = results.map { result in
            [
                "\(result.length)", "\(result.tokens)", Readable.fixed(result.loss, 4),
                Readable.fixed(result.perplexity, 3),
                result.bitsPerByte.map { Readable.fixed($0, 4) } ?? "–",
            ]
        }
        try Terminal.write(Terminal.table([header] + rows))
    }

    /// A folder that lives as long as `body` runs; what `body` has mapped stays readable.
    private func withScratchFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
        let folder = TemporaryFolder.path + "/gdn-evaluate-\(getpid())"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        return try body(folder)
    }
}

private enum TemporaryFolder {
    static var path: String {
        getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    }
}
