import ArgumentParser
import GDNBenchmarks
import GDNTensor
import GatedDeltaNet

/// `gdn bench data`: text to token shards, beside the tokenizer alone.
struct BenchData: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Time preparing data, and the tokenizer alone on the same documents.")

    @Argument(help: "What to read, as for gdn data prepare.")
    var paths: [String]

    @Option(help: "byte, or a file or folder that holds a tokenizer.")
    var tokenizer = "byte"

    @Option(help: "Field of JSON lines, or column of Parquet, that holds the text.")
    var field = "text"

    @Option(help: "The folder to write shards into; its shards are replaced.")
    var into: String

    @Option(help: "Tokenising threads; as many as processors when not given.")
    var threads: Int?

    @Option(help: "Timed runs of each.")
    var runs = 5

    @Option(help: "Megabytes of text that the tokenizer alone is given, the first of the input.")
    var megabytes = 1024

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if let threads, threads < 1 { throw ValidationError("--threads \(threads): expected at least 1") }
        if runs < 1 || megabytes < 1 { throw ValidationError("--runs and --megabytes: expected at least 1") }
    }

    func run() throws {
        let tokenizer: any Tokenizer =
            tokenizer == "byte" ? try ByteTokenizer(endOfDocument: true) : try TokenizerFile.load(from: tokenizer)
        let result = try PreparationBenchmark.run(
            paths, tokenizer: tokenizer, settings: .init(reading: .init(textField: field)), into: into,
            threads: threads ?? processorCount(), runs: runs, heldBytes: megabytes * 1_000_000)
        if json { return try Terminal.json(result) }
        func row(_ name: String, _ bytes: Int, _ timing: Timing, _ processor: Double) -> [String] {
            let rates = [timing.median, timing.maximum, timing.minimum].map {
                Readable.number(Double(bytes) / $0 / 1e6)
            }
            return [name, Readable.number(Double(bytes) / 1e6)] + rates
                + [Readable.number(Double(bytes) / processor / 1e6)]
        }
        try Terminal.line("\(result.threads) threads, \(runs) runs of each in turns, text in MB and MB/s")
        try Terminal.write(
            Terminal.table([
                ["", "text", "median", "slowest", "fastest", "a processor second"],
                row(
                    "tokenizer alone", result.encodedBytes, result.encoding, result.encodingProcessorSeconds),
                row("preparation", result.textBytes, result.preparation, result.preparationProcessorSeconds),
            ]))
        try Terminal.line(
            "preparation at \(Readable.fixed(result.share, 3)) of the tokenizer's own rate, "
                + "\(Readable.fixed(result.processorShare, 3)) by processor time")
        if result.encodedBytes < result.textBytes {
            try Terminal.line(
                "the tokenizer alone was given the first \(Readable.number(Double(result.encodedBytes) / 1e6)) MB only: "
                    + "for the same documents raise --megabytes")
        }
    }
}
