import FoundationEssentials
import GDNAutograd
import GDNFormats
import GDNOps
import GDNTensor

/// Model folders as the family keeps them: `config.json` and `model.safetensors` (or shards with an index).
public enum ModelFolder {
    /// Reads a model.
    /// - Parameters:
    ///   - folder: path of a folder with `config.json` and safetensors files
    ///   - backend: where the model will live
    /// - Returns: the model, weights widened to float32
    /// - Throws: `ModelFolderError` when the folder is no model folder, a tensor is missing or has another shape;
    ///   `CheckpointError` when a file is not as the checkpoint's manifest says; `FormatError` when one is malformed.
    public static func load(_ folder: String, backend: Backend) throws -> LanguageModel {
        let model = try LanguageModel(configuration(of: folder), backend: backend)
        try loadWeights(folder, into: model)
        return model
    }

    /// Reads `config.json`.
    /// - Throws: `ModelFolderError` when it is missing or no configuration; `CheckpointError` when it is not as the
    ///   checkpoint's manifest says.
    public static func configuration(of folder: String) throws -> ModelConfiguration {
        let path = folder + "/config.json"
        try verify(folder) { $0 == "config.json" }
        guard let data = FileManager.default.contents(atPath: path) else {
            let latest = folder + "/latest"
            let isRun = FileManager.default.fileExists(atPath: latest + "/config.json")
            throw ModelFolderError(
                "\(folder) is no model folder: it has no readable config.json"
                    + (isRun ? "; it is a run, whose last checkpoint is \(latest)" : ""))
        }
        do {
            return try JSONDecoder().decode(ModelConfiguration.self, from: data)
        } catch {
            throw ModelFolderError("\(path) is no model configuration: \(summary(of: error))")
        }
    }

    /// Replaces the weights of a model by those of a folder.
    /// - Throws: `CheckpointError` when a file is not as the checkpoint's manifest says; `ModelFolderError` and
    ///   `FormatError` as `load`.
    public static func loadWeights(_ folder: String, into model: LanguageModel) throws {
        try verify(folder) { $0.hasPrefix("model") }
        let files = try SafetensorsModel(folder: folder)
        var unused = Set(files.names)
        for parameter in model.parameters {
            guard let shape = files[parameter.name]?.shape else {
                throw ModelFolderError("\(folder): tensor \(parameter.name) is missing")
            }
            guard shape == parameter.shape.dims else {
                throw ModelFolderError(
                    "\(folder): tensor \(parameter.name) has shape \(shape), the configuration says \(parameter.shape)")
            }
            let values = try files.floats(of: parameter.name)
            parameter.replaceValue(try model.backend.upload(values, parameter.shape))
            unused.remove(parameter.name)
        }
        // A tied head may be stored a second time.
        if model.configuration.tieWordEmbeddings { unused.remove("lm_head.weight") }
        if let name = unused.min() {
            throw ModelFolderError("\(folder): tensor \(name) belongs to no parameter of this configuration")
        }
    }

    /// `config.json` as bytes: keys sorted, with the class name that flash-linear-attention looks for.
    public static func configurationData(_ configuration: ModelConfiguration) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(SavedConfiguration(configuration: configuration))
    }

    /// Compares files with the manifest of the folder. A folder without one, from elsewhere, is taken as it is.
    private static func verify(_ folder: String, where isWanted: (String) -> Bool) throws {
        try CheckpointManifest.ofModel(folder)?.verify(
            folder: folder, advice: "use another checkpoint, or remove manifest.json if the change was meant",
            where: isWanted)
    }

    private static func summary(of error: any Error) -> String {
        switch error {
        case DecodingError.typeMismatch(let type, let context), DecodingError.valueNotFound(let type, let context):
            "key \(context.codingPath.map(\.stringValue).joined(separator: ".")) is not of type \(type)"
        case DecodingError.dataCorrupted(let context):
            context.codingPath.isEmpty
                ? "malformed JSON"
                : "key \(context.codingPath.map(\.stringValue).joined(separator: ".")): \(context.debugDescription)"
        default: "\(error)"
        }
    }

    /// The configuration with what other readers of the folder expect beside it.
    private struct SavedConfiguration: Encodable {
        let configuration: ModelConfiguration

        enum Keys: String, CodingKey {
            case architectures
            case dtype
        }

        func encode(to encoder: any Encoder) throws {
            try configuration.encode(to: encoder)
            var values = encoder.container(keyedBy: Keys.self)
            try values.encode(["GatedDeltaNetForCausalLM"], forKey: .architectures)
            try values.encode("float32", forKey: .dtype)
        }
    }
}

/// A folder that is no model folder, or whose tensors do not fit its configuration.
public struct ModelFolderError: Error, CustomStringConvertible, Equatable, Sendable {
    /// One sentence.
    public let message: String

    init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}
