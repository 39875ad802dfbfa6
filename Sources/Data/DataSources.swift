import GDNFormats
import GDNTensor
import GDNTokenizers

/// Data as a recipe names them, open for training: prepared folders, packed files and text, in any combination.
public struct DataSources: Sendable {
    /// What is named and how it is read.
    public struct Settings: Sendable {
        /// Prepared folders; packed files, folders and patterns of them; text as `DataPreparation` reads it.
        public var training: [String]
        /// The weight of each of them in a mixture; empty: one stream of everything, as much of each as there is.
        public var weights: [Double]
        /// The same kinds of names, held out as a whole; empty: what is held out in the training data's preparations.
        public var validation: [String]
        /// How text is prepared.
        public var preparation: DataPreparation.Settings
        /// What marks documents in packed files.
        public var separator: PackedFile.Separator?
        /// How a preparation runs, when one is needed.
        public var options: DataPreparation.Options

        /// Settings; only the training data have no default.
        public init(
            training: [String], weights: [Double] = [], validation: [String] = [],
            preparation: DataPreparation.Settings = .init(), separator: PackedFile.Separator? = nil,
            options: DataPreparation.Options = .init()
        ) {
            self.training = training
            self.weights = weights
            self.validation = validation
            self.preparation = preparation
            self.separator = separator
            self.options = options
        }
    }

    /// The sources to train on: one of weight 1, or those of a mixture.
    public private(set) var sources: [MixtureLoader.Source] = []
    /// The tokens held out; nil when there are none.
    public private(set) var validation: TokenStream?
    /// How prepared sources were made, as far as they say.
    public private(set) var manifests: [DataManifest] = []
    private let settings: Settings
    private let tokenizer: any Tokenizer
    private let folder: String

    /// Shards of more bytes than this are not read in full to open them; their tokens are checked where they are used.
    static let verifiedBytes = 4 << 30

    /// Opens all data, preparing text where that has not been done.
    /// - Parameters:
    ///   - folder: where prepared text lies or shall lie
    /// - Throws: `DataError` for data of another tokenizer, weights that do not fit, and whatever preparing throws;
    ///   `FormatError` for files that cannot be used.
    public init(_ settings: Settings, tokenizer: any Tokenizer, folder: String) throws {
        self.settings = settings
        self.tokenizer = tokenizer
        self.folder = folder
        guard settings.weights.isEmpty || settings.weights.count == settings.training.count else {
            throw DataError(
                "weights", "there are \(settings.weights.count) for \(settings.training.count) sources",
                advice: "give each source one weight, or none at all")
        }
        var heldOut: [TokenStream] = []
        if settings.weights.isEmpty {
            let stream = try one(&heldOut)
            sources = [.init(name: settings.training.joined(separator: ", "), stream: stream, weight: 1)]
        } else {
            for (index, name) in settings.training.enumerated() {
                let streams = try open([name], in: "\(folder)/source-\(index)", &heldOut)
                let stream = try TokenStream(joining: streams)
                sources.append(.init(name: name, stream: stream, weight: settings.weights[index]))
            }
        }
        if !settings.validation.isEmpty, heldOut.isEmpty { heldOut = try named() }
        validation = heldOut.isEmpty ? nil : try TokenStream(joining: heldOut)
    }

    /// Training batches: a mixture's, or those of the one source.
    /// - Throws: `DataError` for settings that do not fit the data.
    public func loader(_ settings: PackedLoader.Settings) throws -> any BatchSource {
        if self.settings.weights.isEmpty, let source = sources.first {
            return try PackedLoader(source.stream, settings)
        }
        return try MixtureLoader(sources, settings)
    }

    /// One sentence on the data.
    public var summary: String {
        let tokens = sources.reduce(0) { $0 + $1.stream.tokenCount }
        let held = validation.map { ", \($0.tokenCount) held out" } ?? ", none held out"
        var parts = manifests.map(\.report.summary) + ["\(tokens) tokens to train on\(held)"]
        if sources.count > 1 {
            let total = sources.reduce(0) { $0 + $1.weight }
            let shares = sources.map { source in
                let share = (source.weight / total * 1000).rounded() / 10
                return "\(share) % \(source.name) (\(source.stream.tokenCount) tokens)"
            }
            parts.append("mixed by rows: " + shares.joined(separator: ", "))
        }
        return parts.joined(separator: "; ")
    }

    /// Everything as one stream; text is prepared together, and held out with it when all of that is text, too.
    private mutating func one(_ heldOut: inout [TokenStream]) throws -> TokenStream {
        let kinds = try settings.training.map { try Kind($0) }
        if kinds.allSatisfy(\.isText), try settings.validation.allSatisfy({ try Kind($0).isText }) {
            let data = try PreparedData.open(
                settings.training, validation: settings.validation, tokenizer: tokenizer,
                settings: settings.preparation, in: folder, options: settings.options)
            manifests.append(data.manifest)
            if let validation = data.validation { heldOut.append(validation) }
            return data.training
        }
        return try TokenStream(joining: open(settings.training, in: folder, &heldOut))
    }

    /// Opens what names stand for, all text as one preparation in `folder`.
    private mutating func open(
        _ names: [String], in folder: String, _ heldOut: inout [TokenStream]
    ) throws -> [TokenStream] {
        let divides = settings.validation.isEmpty
        let texts = try names.filter { try Kind($0).isText }
        var streams: [TokenStream] = []
        for name in names {
            switch try Kind(name) {
            case .prepared:
                let data = try PreparedData(folder: name, tokenizer: tokenizer, verify: nil)
                manifests.append(data.manifest)
                streams.append(data.training)
                if divides, let validation = data.validation { heldOut.append(validation) }
            case .packed(let paths): streams.append(try packed(paths, verify: false))
            case .text where name == texts.first:
                var preparation = settings.preparation
                if !divides { preparation.validationShare = 0 }
                try Self.makeFolders(folder)
                let data = try PreparedData.open(
                    texts, tokenizer: tokenizer, settings: preparation, in: folder, options: settings.options)
                manifests.append(data.manifest)
                streams.append(data.training)
                if divides, let validation = data.validation { heldOut.append(validation) }
            case .text: break
            }
        }
        return streams
    }

    /// The data that are named to be held out, all their tokens.
    private func named() throws -> [TokenStream] {
        let texts = try settings.validation.filter { try Kind($0).isText }
        var streams: [TokenStream] = []
        for name in settings.validation {
            switch try Kind(name) {
            case .prepared:
                let data = try PreparedData(folder: name, tokenizer: tokenizer)
                streams += [data.training] + (data.validation.map { [$0] } ?? [])
            case .packed(let paths): streams.append(try packed(paths, verify: true))
            case .text where name == texts.first:
                var preparation = settings.preparation
                preparation.validationShare = 0
                try Self.makeFolders("\(folder)/validation")
                streams.append(
                    try PreparedData.open(
                        texts, tokenizer: tokenizer, settings: preparation, in: "\(folder)/validation",
                        options: settings.options
                    ).training)
            case .text: break
            }
        }
        return streams
    }

    private func packed(_ paths: [String], verify: Bool) throws -> TokenStream {
        try TokenStream(
            segments: paths.map {
                try PackedFile(
                    $0, vocabularySize: tokenizer.vocabularySize, separator: settings.separator, verify: verify)
            })
    }

    private static func makeFolders(_ path: String) throws {
        let parent = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        for folder in [parent, path] where !folder.isEmpty {
            guard mkdir(folder, 0o755) == 0 || errno == EEXIST else { throw FormatError.system("mkdir", file: folder) }
        }
    }

    /// What a name stands for.
    enum Kind: Equatable {
        case prepared
        case packed([String])
        case text

        var isText: Bool { self == .text }

        /// - Throws: `FormatError` when a folder cannot be read.
        init(_ name: String) throws {
            if access("\(name)/\(DataManifest.name)", F_OK) == 0 {
                self = .prepared
                return
            }
            let files = try Self.packedFiles(name)
            self = files.isEmpty ? .text : .packed(files)
        }

        private static func packedFiles(_ name: String) throws -> [String] {
            var status = stat()
            let paths: [String]
            if stat(name, &status) != 0 {
                paths = name.contains { "*?[".contains($0) } ? matches(name) : []
            } else if status.st_mode & S_IFMT == S_IFDIR {
                paths = matches("\(name)/*.bin")
            } else {
                paths = status.st_mode & S_IFMT == S_IFREG ? [name] : []
            }
            // Other files that happen to end in .bin are no packed files and stay out of folders.
            return paths.filter { PackedFile.isPacked($0) }
        }

        private static func matches(_ pattern: String) -> [String] {
            var result = glob_t()
            defer { globfree(&result) }
            guard glob(pattern, GLOB_NOSORT, nil, &result) == 0 else { return [] }
            return (0..<Int(result.gl_pathc))
                .compactMap { result.gl_pathv[$0].map { String(cString: $0) } }
                .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        }
    }
}
