import GDNFormats
import GDNTensor

/// A chat template: turns messages into the text that a model was trained on.
///
/// The part of Jinja2 that public chat templates use, rendered as Hugging Face transformers renders it: white-space
/// rules `trim_blocks` and `lstrip_blocks`, the tags `break`, `continue` and `generation`, the functions
/// `raise_exception` and `strftime_now`, its own `tojson`, and a sandbox in which only namespaces change.
///
///     let template = try ChatTemplate(source: "{% for m in messages %}…{% endfor %}", name: "chat_template.jinja")
///     let prompt = try template.render(messages: messages, addGenerationPrompt: true)
public struct ChatTemplate: Sendable {
    /// What one rendering may use. A template beyond a limit ends with an error, never with a hang or a crash.
    public struct Limits: Sendable, Equatable {
        /// Bytes of a template's source.
        public var sourceBytes = 1 << 20
        /// Steps of rendering: about one for each character copied and each element looked at.
        public var work = 200_000_000

        /// The standard limits.
        public init() {}
    }

    /// The name in error messages.
    public let name: String
    /// The text of the template.
    public let source: String

    private let program: Jinja.Program
    private let limits: Limits

    /// Reads a template.
    /// - Parameters:
    ///   - source: the template
    ///   - name: its name for error messages
    /// - Throws: `ChatTemplateError` with line and column when it is no template, or uses what is not supported here.
    public init(source: String, name: String = "chat_template", limits: Limits = Limits()) throws {
        self.source = source
        self.name = name
        self.limits = limits
        do {
            guard source.utf8.count <= limits.sourceBytes else {
                throw Jinja.Failure(.limit, "the template has more than \(limits.sourceBytes) bytes")
            }
            program = try Jinja.Parser.program(source)
        } catch let failure as Jinja.Failure {
            throw failure.located(in: name, at: Jinja.Position())
        }
    }

    /// Renders a conversation as transformers' `apply_chat_template` does.
    ///
    /// Keys of a message whose value is null are left out, and a message's reasoning is there as `reasoning_content`
    /// and `thinking` under whichever of `reasoning_content`, `thinking` and `reasoning` it came.
    /// - Parameters:
    ///   - messages: objects with `role`, `content` and what else the template reads
    ///   - tools: JSON schemas of the tools; null for the template when nil
    ///   - documents: documents to answer from; null for the template when nil
    ///   - addGenerationPrompt: whether the text ends where the model's answer begins
    ///   - extra: more variables, such as `bos_token` or `enable_thinking`
    /// - Throws: `ChatTemplateError` with line and column.
    public func render(
        messages: [JSONValue], tools: [JSONValue]? = nil, documents: [JSONValue]? = nil,
        addGenerationPrompt: Bool = true, extra: JSONObject = JSONObject()
    ) throws -> String {
        var variables = extra
        variables["messages"] = .array(try messages.map(normalized))
        variables["tools"] = tools.map { .array($0) } ?? .null
        variables["documents"] = documents.map { .array($0) } ?? .null
        variables["add_generation_prompt"] = .bool(addGenerationPrompt)
        return try render(variables: variables)
    }

    /// Renders with exactly these variables.
    /// - Parameters:
    ///   - variables: values by name
    ///   - secondsSince1970: what `strftime_now` takes for now; the clock's time when nil
    /// - Throws: `ChatTemplateError` with line and column.
    public func render(variables: JSONObject, secondsSince1970: Int? = nil) throws -> String {
        var values: [String: Jinja.Value] = [:]
        do {
            for (name, value) in variables.members { values[name] = try Jinja.Value(value) }
        } catch let failure as Jinja.Failure {
            throw failure.located(in: name, at: Jinja.Position())
        }
        let seconds = secondsSince1970 ?? Int(time(nil))
        let interpreter = Jinja.Interpreter(program, variables: values, work: limits.work, seconds: seconds)
        do {
            return try interpreter.run()
        } catch let failure as Jinja.Failure {
            throw failure.located(in: name, at: interpreter.position)
        }
    }

    private func normalized(_ message: JSONValue) throws -> JSONValue {
        guard let object = message.object else {
            throw ChatTemplateError(
                kind: .value, template: name, line: 1, column: 1,
                message: "a message must be an object, not \(message.text().prefix(40))")
        }
        let fields = ["reasoning_content", "thinking", "reasoning"]
        var result = JSONObject()
        let given = object.members.filter { $0.value != .null }
        let reasoning = fields.lazy.compactMap { field in given.first { $0.key == field }?.value }.first
        if let reasoning { result["thinking"] = reasoning }
        for (key, value) in given { result[key] = value }
        if let reasoning { result["reasoning_content"] = reasoning }
        return .object(result)
    }
}
