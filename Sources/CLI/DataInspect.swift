import ArgumentParser
import GatedDeltaNet

/// `gdn data inspect`: what prepared folders, shards, packed files and mixtures hold.
struct DataInspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a prepared folder, a shard, a packed file or a mixture holds.")

    @Argument(help: "A prepared folder, a .tokens or .bin file, or a mixture.")
    var path: String

    @Flag(help: "Read everything and compare checksums and tokens.")
    var verify = false

    @Option(help: "Print the first tokens.")
    var tokens = 0

    @Option(help: "Packed files: size of the vocabulary that tokens are checked against.")
    var vocabularySize = Int(Int32.max)

    func run() throws {
        if access("\(path)/\(DataManifest.name)", F_OK) == 0 { return try folder() }
        if PackedFile.isPacked(path) {
            let file = try PackedFile(path, vocabularySize: vocabularySize, verify: verify)
            let rows = [["tokens", "\(file.tokenCount)"], ["type", "\(file.type)"]]
            return try print(rows, TokenStream(segments: [file]))
        }
        if path.hasSuffix(".json") {
            let rows = try MixtureDescription(contentsOf: path).sources.map { [$0.path, "\($0.weight)"] }
            return try Terminal.write(Terminal.table(rows))
        }
        let shard = try TokenShard(path, verify: verify)
        let rows = [
            ["tokens", "\(shard.tokenCount)"], ["documents", "\(shard.documentCount)"],
            ["bytes of text", "\(shard.textBytes)"], ["vocabulary", "\(shard.vocabularySize)"],
            ["tokenizer", shard.tokenizer],
        ]
        try print(rows, TokenStream([shard]))
    }

    private func folder() throws {
        let data = try PreparedData(folder: path, verify: verify)
        let manifest = data.manifest
        if verify { try compareFiles(manifest) }
        var rows = [["tokenizer", manifest.tokenizer], ["vocabulary", "\(manifest.vocabularySize)"]]
        for (name, part) in [("training", manifest.training), ("held out", manifest.validation)] {
            guard let part else { continue }
            rows.append([
                name,
                "\(part.tokens) tokens in \(part.documents) documents, \(part.textBytes) bytes of text, "
                    + "\(part.shards.count) shards",
            ])
        }
        rows.append(["sources", "\(manifest.sources.count + manifest.validationSources.count) files"])
        rows.append(["found", manifest.report.summary])
        try print(rows, data.training)
        for finding in manifest.report.findings { try Terminal.write("  \(finding)\n") }
        if verify { try Terminal.write("all checksums are right\n") }
    }

    private func compareFiles(_ manifest: DataManifest) throws {
        for shard in manifest.training.shards + (manifest.validation?.shards ?? []) {
            try shard.verify(in: path)
        }
    }

    private func print(_ rows: [[String]], _ stream: TokenStream) throws {
        let width = rows.map { $0[0].count }.max() ?? 0
        for row in rows {
            try Terminal.write("\(row[0])\(String(repeating: " ", count: width - row[0].count))  \(row[1])\n")
        }
        guard tokens > 0 else { return }
        let first = stream.tokens(0..<min(tokens, stream.tokenCount))
        try Terminal.write(first.map { "\($0)" }.joined(separator: " ") + "\n")
    }
}
