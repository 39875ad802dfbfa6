import ArgumentParser
import GatedDeltaNet

/// `gdn data`: training data as files.
struct DataCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "data", abstract: "Prepare, inspect, export and mix training data.",
        subcommands: [DataPrepare.self, DataInspect.self, DataExport.self, DataMix.self])
}

/// `gdn data mix`: writes the description of a mixture.
struct DataMix: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mix", abstract: "Write a mixture of sources for data.mixture of a recipe.",
        discussion: """
            Weights are shares of training rows, relative to each other, whatever the sources' sizes: \
            gdn data mix web=0.7 books=0.2 code=0.1 --into mixture.json
            """)

    @Argument(help: "PATH=WEIGHT: a prepared folder, a packed file or a pattern of them, or text.")
    var sources: [String]

    @Option(help: "The file to write.")
    var into: String

    func run() throws {
        let parts = try sources.map { text in
            guard let sign = text.lastIndex(of: "="), let weight = Double(text[text.index(after: sign)...]) else {
                throw ValidationError("\(text): expected PATH=WEIGHT, e.g. data/web=0.7")
            }
            return MixtureDescription.Source(path: Self.absolute(String(text[..<sign])), weight: weight)
        }
        let mixture = try MixtureDescription(parts)
        try mixture.save(into)
        let total = mixture.sources.reduce(0) { $0 + $1.weight }
        let rows = mixture.sources.map { [$0.path, Readable.fixed($0.weight / total * 100, 2) + " %"] }
        try Terminal.write(Terminal.table(rows))
    }

    /// The description may lie elsewhere than the working folder.
    private static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let folder = getcwd(nil, 0) else { return path }
        defer { free(folder) }
        return "\(String(cString: folder))/\(path)"
    }
}

/// `gdn data export`: writes prepared data as packed files.
struct DataExport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write prepared data as packed .bin files of the reference implementation.")

    @Argument(help: "A prepared folder.")
    var data: String

    @Option(help: "The folder to write train_0000000000.bin, … into.")
    var into: String

    @OptionGroup var packing: PackingOptions

    func run() throws { try packing.export(PreparedData(folder: data), into: into) }
}

/// How packed files are written.
struct PackingOptions: ParsableArguments {
    @Option(help: "Packed files: uint8, int8, int16, int32, int64 or uint16; by the vocabulary when not given.")
    var tokenType: String?

    @Option(help: "Packed files: tokens of a file.")
    var fileTokens = 1 << 28

    @Option(help: "Packed files: token that fills the last file up to the size of the others; else it is shorter.")
    var fill: Int32?

    func validate() throws {
        if let tokenType, type == nil { throw ValidationError("--token-type \(tokenType): no type of tokens") }
    }

    private var type: PackedFile.TokenType? { PackedFile.TokenType.allCases.first { "\($0)" == tokenType } }

    /// Writes both parts of prepared data.
    func export(_ data: PreparedData, into folder: String) throws {
        let writer = try PackedFileWriter(
            vocabularySize: data.manifest.vocabularySize, type: type, tokensPerFile: fileTokens, filling: fill)
        for (name, stream) in [("train", data.training), ("validation", data.validation)] {
            guard let stream else { continue }
            for path in try writer.write(stream, into: folder, name: name) { try Terminal.write(path + "\n") }
        }
    }
}
