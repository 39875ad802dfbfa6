import ArgumentParser
import GatedDeltaNet

/// `gdn tokenizer template`: a conversation as the text a model reads.
struct TokenizerTemplate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template", abstract: "Render a conversation with a model's chat template.",
        discussion: """
            The template is chat_template.jinja of the model folder, or chat_template of its tokenizer_config.json. The
            messages are a JSON list of {"role": …, "content": …}. The text goes to standard output as it is, without a
            line break behind it.

            With --requests instead of --model and --messages, each line of a file is a template of its own,
            {"template": …, "variables": {…}}, and gives a line {"text": …} or {"error": …}.
            """)

    @Option(help: "Model folder.")
    var model: String?

    @Option(help: "JSON file with the messages.")
    var messages: String?

    @Option(help: "JSON file with a list of tools (schemas of functions).")
    var tools: String?

    @Option(help: "JSON file with a list of documents.")
    var documents: String?

    @Option(help: "JSON object with more variables, e.g. '{\"enable_thinking\": false}'.")
    var variables: String?

    @Option(help: "Name of the template, where the model has several.")
    var template: String?

    @Flag(name: .customLong("no-generation-prompt"), help: "Leave out the beginning of the model's answer.")
    var withoutGenerationPrompt = false

    @Option(help: "JSON lines with templates to render.")
    var requests: String?

    func validate() throws {
        guard requests != nil || (model != nil && messages != nil) else {
            throw ValidationError("--model and --messages are needed, or --requests")
        }
        guard requests == nil || (model == nil && messages == nil) else {
            throw ValidationError("--requests stands alone")
        }
    }

    func run() throws {
        if let requests { return try render(linesOf: requests) }
        guard let model, let messages else { return }
        let extra = try variables.map { text in
            guard let object = try JSONValue(parsing: text, file: "--variables").object else {
                throw ValidationError("--variables must be a JSON object")
            }
            return object
        }
        let text = try ModelChatTemplate(folder: model).render(
            messages: try list(messages), tools: try tools.map(list), documents: try documents.map(list),
            addGenerationPrompt: !withoutGenerationPrompt, extra: extra ?? JSONObject(), name: template)
        try Terminal.write(text)
    }

    private func list(_ path: String) throws -> [JSONValue] {
        guard let list = try JSONValue(contentsOf: path).array else {
            throw ValidationError("\(path): expected a JSON list")
        }
        return list
    }

    private func render(linesOf path: String) throws {
        let file = try MappedFile(path)
        let lines = file.read(0..<file.bytes.count) { Array($0) }.split(separator: UInt8(ascii: "\n"))
        for (number, line) in lines.enumerated() {
            let part = "line \(number + 1)"
            let request = try Array(line).withUnsafeBytes { try JSONValue(parsing: $0, file: path, part: part) }
            guard let source = request["template"]?.string else {
                throw ValidationError("\(path): \(part): expected {\"template\": …, \"variables\": {…}}")
            }
            var result = JSONObject()
            do {
                let template = try ChatTemplate(source: source, name: "template")
                let variables = request["variables"]?.object ?? JSONObject()
                result["text"] = .string(try template.render(variables: variables))
            } catch let error as ChatTemplateError {
                result["error"] = .string(error.description)
                result["kind"] = .string(error.kind.rawValue)
            }
            try Terminal.write(JSONValue.object(result).text() + "\n")
        }
    }
}
