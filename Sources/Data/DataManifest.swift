import GDNFormats

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// `manifest.json` of prepared data: from what and how the shards beside it were made.
public struct DataManifest: Sendable, Codable, Equatable {
    /// Version of this file, 2. (Version 1 had SHA-256 sums; it is read, and written as version 2.)
    public var version = 2
    /// Identity of the tokenizer.
    public var tokenizer: String
    /// All tokens are below this.
    public var vocabularySize: Int
    /// How documents were read and divided.
    public var settings: DataPreparation.Settings
    /// The files that were read, with checksums.
    public var sources: [DocumentReader.Source]
    /// The files of the validation part, if it was named separately.
    public var validationSources: [DocumentReader.Source]
    /// What was found in the files.
    public var report: DataReport
    /// The part to train on.
    public var training: Part
    /// The part held out; nil when there is none.
    public var validation: Part?

    /// One part of the data.
    public struct Part: Sendable, Codable, Equatable {
        /// Documents (of a document that was divided each part counts).
        public var documents: Int
        /// Tokens, special ones included.
        public var tokens: Int
        /// Bytes of text that they stand for.
        public var textBytes: Int
        /// Shards in order.
        public var shards: [Shard]
    }

    /// One file of tokens.
    public struct Shard: Sendable, Codable, Equatable {
        /// Its name in the folder of the manifest.
        public var file: String
        /// Checksum of its bytes: `crc32c:` and 8 hexadecimal digits; in manifests of version 1 `sha256:` and 64.
        public var checksum: String

        init(file: String, checksum: String) { (self.file, self.checksum) = (file, checksum) }

        /// Decodes a shard, of a manifest of version 1 too.
        public init(from decoder: any Decoder) throws {
            file = try decoder.container(keyedBy: CodingKeys.self).decode(String.self, forKey: .file)
            checksum = try DataManifest.checksum(decoder)
        }

        /// Compares the file with its checksum.
        /// - Parameter folder: the folder of the manifest
        /// - Throws: `FormatError` when they differ or the file cannot be read.
        package func verify(in folder: String) throws {
            let path = "\(folder)/\(file)"
            let isOld = checksum.hasPrefix("sha256:")
            let sum = try isOld ? "sha256:" + SHA256.digest(contentsOf: path) : RunChecksum(of: path).text
            guard sum == checksum else {
                throw FormatError(
                    file: path, rule: "has the checksum \(sum), the manifest says \(checksum)",
                    advice: "prepare the data again")
            }
        }
    }

    /// The checksum of a file of a manifest: version 1 has it under `sha256` and without the name.
    static func checksum(_ decoder: any Decoder) throws -> String {
        enum Keys: String, CodingKey { case checksum, sha256 }
        let values = try decoder.container(keyedBy: Keys.self)
        if let old = try values.decodeIfPresent(String.self, forKey: .sha256) { return "sha256:" + old }
        return try values.decode(String.self, forKey: .checksum)
    }

    /// The file's name.
    public static let name = "manifest.json"

    /// Reads the manifest of a folder.
    /// - Throws: `FormatError` when there is none or it is no manifest.
    public init(folder: String) throws {
        let path = "\(folder)/\(Self.name)"
        let file = try MappedFile(path)
        do {
            self = try JSONDecoder().decode(Self.self, from: file.read(0..<file.bytes.count) { Data($0) })
        } catch {
            throw FormatError(
                file: path, rule: "is no manifest of prepared data (\(error))", advice: "prepare the data again")
        }
        guard (1...2).contains(version) else {
            throw FormatError(
                file: path, rule: "has version \(version), this program reads 1 and 2", advice: "prepare the data again"
            )
        }
        version = 2
    }

    init(
        tokenizer: String, vocabularySize: Int, settings: DataPreparation.Settings, sources: [DocumentReader.Source],
        validationSources: [DocumentReader.Source], report: DataReport, training: Part, validation: Part?
    ) {
        self.tokenizer = tokenizer
        self.vocabularySize = vocabularySize
        self.settings = settings
        self.sources = sources
        self.validationSources = validationSources
        self.report = report
        self.training = training
        self.validation = validation
    }

    /// Writes the manifest into a folder, whole or not at all; the same manifest gives the same bytes.
    /// - Throws: `FormatError` when it cannot be written.
    public func save(in folder: String) throws {
        let path = "\(folder)/\(Self.name)"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let data: Data
        do {
            data = try encoder.encode(self)
        } catch {
            throw FormatError(file: path, rule: "cannot be written (\(error))", advice: "report this")
        }
        try OutputFile.replace(path) { try $0.write(Array(data) + [0x0a]) }
    }
}
