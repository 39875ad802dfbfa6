/// From the recipe's model section to a model configuration.
import Foundation
import GDNFormats
import GDNModels

extension Recipe {
    /// The model's shape and switches: the preset or file, with the recipe's own keys over it.
    /// - Throws: `RecipeError` when there is no model or a key has the wrong type, `ConfigurationError` when shapes do
    ///   not fit together, `ModelFolderError` when the file cannot be read.
    public func modelConfiguration() throws -> ModelConfiguration {
        var configuration = try baseConfiguration()
        if !model.keys.isEmpty {
            var keys = try Self.modelKeys(configuration)
            for (name, value) in model.keys { keys[name] = value }
            configuration = try Self.decode(keys)
        }
        try configuration.validate()
        return configuration
    }

    /// All keys of a model configuration as the recipe's model section writes them.
    static func modelKeys(_ configuration: ModelConfiguration) throws -> [String: RecipeValue] {
        let text = String(decoding: try JSONEncoder().encode(configuration), as: UTF8.self)
        guard case .map(let keys) = RecipeValue(try JSONValue(parsing: text)) else { return [:] }
        return keys
    }

    /// The complete recipe, with the resolved model instead of its preset or file.
    /// - Throws: see `modelConfiguration`.
    public func resolved(comments: Bool = false) throws -> String {
        var full = self
        let keys = try Self.modelKeys(modelConfiguration())
        full.model.preset = nil
        full.model.config = nil
        return full.resolvedYAML(modelKeys: keys, comments: comments)
    }

    private func baseConfiguration() throws -> ModelConfiguration {
        if let preset = model.preset {
            guard model.config == nil else {
                throw RecipeError("give either model.preset or model.config, not both", key: "model.config")
            }
            guard let configuration = ModelConfiguration.preset(preset) else {
                let names = ModelConfiguration.presetNames
                let hint = nearest(preset, among: names).map { "; did you mean \($0)?" } ?? ""
                throw RecipeError(
                    "there is no preset \(preset)\(hint) There are \(names.joined(separator: ", "))",
                    key: "model.preset")
            }
            return configuration
        }
        if let path = model.config {
            let suffix = "/config.json"
            return try ModelFolder.configuration(
                of: path.hasSuffix(suffix) ? String(path.dropLast(suffix.count)) : path)
        }
        guard model.keys["hidden_size"] != nil else {
            throw RecipeError(
                "no model: give model.preset (\(ModelConfiguration.presetNames.joined(separator: ", "))), model.config "
                    + "or model.hidden_size and the other keys")
        }
        return ModelConfiguration()
    }

    private static func decode(_ keys: [String: RecipeValue]) throws -> ModelConfiguration {
        do {
            let text = RecipeValue.map(keys).json.text()
            return try JSONDecoder().decode(ModelConfiguration.self, from: Foundation.Data(text.utf8))
        } catch let error as DecodingError {
            let path: [any CodingKey]
            switch error {
            case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
                .dataCorrupted(let context):
                path = context.codingPath
            @unknown default: path = []
            }
            let name = path.last?.stringValue ?? ""
            let expected = ModelKeys.all.first { $0.name == name }?.type ?? "another type"
            throw RecipeError("expected \(expected), found \(keys[name]?.yaml ?? "nothing")", key: "model.\(name)")
        }
    }
}

extension RecipeValue {
    /// A JSON value.
    init(_ json: JSONValue) {
        switch json {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .number(let value): self = .double(value)
        case .string(let text): self = .string(text)
        case .array(let values): self = .list(values.map { RecipeValue($0) })
        case .object(let object):
            self = .map(Dictionary(uniqueKeysWithValues: object.members.map { ($0.key, RecipeValue($0.value)) }))
        }
    }

    /// The same as JSON.
    var json: JSONValue {
        switch self {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .int(let value): return .integer(value)
        case .double(let value): return .number(value)
        case .string(let text): return .string(text)
        case .list(let values): return .array(values.map(\.json))
        case .map(let map):
            var object = JSONObject()
            for (key, value) in map.sorted(by: { $0.key < $1.key }) { object[key] = value.json }
            return .object(object)
        }
    }
}
