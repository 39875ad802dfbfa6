import GDNFormats
import GDNTokenizers

/// A folder of token shards with its manifest, open for training and evaluation.
public struct PreparedData: Sendable {
    /// The folder.
    public let folder: String
    /// From what and how it was made.
    public let manifest: DataManifest
    /// The tokens to train on.
    public let training: TokenStream
    /// The tokens held out; nil when there are none.
    public let validation: TokenStream?

    /// Opens a folder.
    /// - Parameters:
    ///   - folder: where `manifest.json` is
    ///   - tokenizer: when given, data of another tokenizer are refused
    ///   - verify: reads all shards, to compare the checksums; nil: up to 4 GiB of them
    /// - Throws: `FormatError` for damaged or missing files, `DataError` for another tokenizer.
    public init(folder: String, tokenizer: (any Tokenizer)? = nil, verify: Bool? = true) throws {
        let manifest = try DataManifest(folder: folder)
        if let tokenizer, tokenizer.identity != manifest.tokenizer {
            throw DataError(
                folder, "was prepared with another tokenizer than the model's",
                advice: "prepare the data again with the model's tokenizer")
        }
        let tokens = manifest.training.tokens.addingReportingOverflow(manifest.validation?.tokens ?? 0)
        let verify = verify ?? (!tokens.overflow && tokens.partialValue <= DataSources.verifiedBytes / 4)
        self.folder = folder
        self.manifest = manifest
        training = try Self.open(manifest.training, folder, manifest, verify)
        // Held-out tokens are used without a check.
        validation = try manifest.validation.map { try Self.open($0, folder, manifest, true) }
    }

    /// Opens what a folder holds when it was made from just these files with just this tokenizer and these settings;
    /// prepares it (again) otherwise.
    /// - Parameters:
    ///   - paths: text files, JSON lines, folders of them
    ///   - validation: files to hold out; when given, nothing of `paths` is
    ///   - folder: where the shards lie or shall lie
    ///   - options: how the preparation runs; one of something else that was interrupted in the folder is dropped
    /// - Throws: see `DataPreparation.run` and `init(folder:)`.
    public static func open(
        _ paths: [String], validation: [String] = [], tokenizer: any Tokenizer,
        settings: DataPreparation.Settings = .init(), in folder: String, options: DataPreparation.Options = .init()
    ) throws -> PreparedData {
        if let manifest = try? DataManifest(folder: folder), manifest.tokenizer == tokenizer.identity,
            manifest.settings == settings, try areCurrent(manifest.sources, paths),
            try areCurrent(manifest.validationSources, validation),
            let data = try? PreparedData(folder: folder, tokenizer: tokenizer, verify: nil)
        {
            return data
        }
        var options = options
        options.restartsOthers = true
        _ = try DataPreparation(tokenizer: tokenizer, settings: settings).run(
            paths, validation: validation, into: folder, options: options)
        return try PreparedData(folder: folder, tokenizer: tokenizer, verify: nil)
    }

    private static func areCurrent(_ sources: [DocumentReader.Source], _ paths: [String]) throws -> Bool {
        var ignored = 0
        let files = try paths.flatMap { try FileList.files(at: $0, ignored: &ignored) }
        // Standard input cannot be compared.
        guard files.map(\.path) == sources.map(\.path), !paths.contains("-") else { return false }
        let reader = try DocumentReader()
        return try sources.allSatisfy { try reader.source(of: $0.path) == $0 }
    }

    private static func open(
        _ part: DataManifest.Part, _ folder: String, _ manifest: DataManifest, _ verify: Bool
    ) throws -> TokenStream {
        let shards = try part.shards.map { try TokenShard("\(folder)/\($0.file)", verify: verify) }
        let stream = try TokenStream(shards)
        let isOther = shards.contains { $0.tokenizer != manifest.tokenizer }
        guard !isOther, stream.tokenCount == part.tokens, stream.documentCount == part.documents else {
            throw FormatError(
                file: "\(folder)/\(DataManifest.name)", rule: "does not fit the shards beside it",
                advice: "prepare the data again")
        }
        return stream
    }
}
