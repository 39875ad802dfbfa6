import GDNFormats
import GDNTensor

/// The chat templates of a model folder, with the special tokens they are given.
public struct ModelChatTemplate: Sendable {
    /// Templates by name; the only one is called `default`.
    public let templates: [String: ChatTemplate]
    /// `bos_token`, `eos_token` and the others that `tokenizer_config.json` names, as texts.
    public let specialTokens: JSONObject

    private let folder: String

    private static let tokenNames = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Reads the templates of a folder.
    ///
    /// `chat_template.jinja` and `chat_templates/NAME.jinja` where there are any; else `chat_template` of
    /// `tokenizer_config.json`, which is a text or a list of `{"name": …, "template": …}`.
    /// - Throws: `FormatError` when there is no template or a file cannot be read, `ChatTemplateError` when a
    ///   template cannot be.
    public init(folder: String) throws {
        self.folder = folder
        let path = "\(folder)/tokenizer_config.json"
        let configuration = access(path, F_OK) == 0 ? try JSONValue(contentsOf: path) : .object(JSONObject())
        var tokens = JSONObject()
        for name in Self.tokenNames {
            if let token = configuration[name]?.string ?? configuration[name]?["content"]?.string {
                tokens[name] = .string(token)
            }
        }
        specialTokens = tokens
        var templates = try Self.files(in: folder)
        if templates.isEmpty { templates = try Self.templates(in: configuration, path: path) }
        guard !templates.isEmpty else {
            throw FormatError(
                file: folder, rule: "has no chat template",
                advice: "add chat_template.jinja, or chat_template to tokenizer_config.json")
        }
        self.templates = templates
    }

    /// The template for a conversation: the named one; without a name `tool_use` when there are tools and there is
    /// such a template, else `default`.
    /// - Throws: `FormatError` when there is none.
    public func template(named name: String? = nil, withTools: Bool = false) throws -> ChatTemplate {
        let candidates = name.map { [$0] } ?? (withTools ? ["tool_use", "default"] : ["default"])
        for candidate in candidates {
            if let template = templates[candidate] { return template }
        }
        throw FormatError(
            file: folder, rule: "has no chat template '\(candidates.joined(separator: "' or '"))'",
            advice: "choose one of \(templates.keys.sorted().joined(separator: ", "))")
    }

    /// Renders a conversation with the folder's special tokens, as `ChatTemplate.render`.
    /// - Throws: `FormatError` when there is no template, `ChatTemplateError` when it cannot be rendered.
    public func render(
        messages: [JSONValue], tools: [JSONValue]? = nil, documents: [JSONValue]? = nil,
        addGenerationPrompt: Bool = true, extra: JSONObject = JSONObject(), name: String? = nil
    ) throws -> String {
        var variables = specialTokens
        for (key, value) in extra.members { variables[key] = value }
        return try template(named: name, withTools: tools != nil).render(
            messages: messages, tools: tools, documents: documents, addGenerationPrompt: addGenerationPrompt,
            extra: variables)
    }

    private static func files(in folder: String) throws -> [String: ChatTemplate] {
        var result: [String: ChatTemplate] = [:]
        let file = "chat_template.jinja"
        if access("\(folder)/\(file)", F_OK) == 0 {
            result["default"] = try ChatTemplate(source: try text("\(folder)/\(file)"), name: file)
        }
        let suffix = ".jinja"
        for file in names(in: "\(folder)/chat_templates") where file.hasSuffix(suffix) {
            result[String(file.dropLast(suffix.count))] = try ChatTemplate(
                source: try text("\(folder)/chat_templates/\(file)"), name: "chat_templates/\(file)")
        }
        return result
    }

    private static func templates(in configuration: JSONValue, path: String) throws -> [String: ChatTemplate] {
        let part = "chat_template"
        switch configuration[part] {
        case nil, .null: return [:]
        case .string(let source): return ["default": try ChatTemplate(source: source, name: "\(path): \(part)")]
        case .array(let entries):
            var result: [String: ChatTemplate] = [:]
            for entry in entries {
                guard let name = entry["name"]?.string, let source = entry["template"]?.string else {
                    throw FormatError(
                        file: path, part: part, rule: "each element must be an object with name and template",
                        advice: "correct the file")
                }
                result[name] = try ChatTemplate(source: source, name: "\(path): \(part) \(name)")
            }
            return result
        default:
            throw FormatError(file: path, part: part, rule: "must be a text or a list", advice: "correct the file")
        }
    }

    private static func text(_ path: String) throws -> String {
        let file = try MappedFile(path)
        let text = file.read(0..<file.bytes.count) { String(validating: $0, as: UTF8.self) }
        guard let text else { throw FormatError(file: path, rule: "is no valid UTF-8", advice: "correct the file") }
        return text
    }

    /// The names of a folder's files, sorted; none when there is no folder.
    private static func names(in folder: String) -> [String] {
        guard let directory = opendir(folder) else { return [] }
        defer { closedir(directory) }
        var result: [String] = []
        while let entry = readdir(directory) {
            result.append(
                withUnsafeBytes(of: &entry.pointee.d_name) { name in
                    String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return result.sorted()
    }
}
