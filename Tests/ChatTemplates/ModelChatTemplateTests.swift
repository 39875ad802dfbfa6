import GDNFormats
import GDNTestSupport
import GDNTokenizers
import Testing

@Suite struct ModelChatTemplateTests {
    private let messages: [JSONValue] = [.object(["role": "user", "content": "Hi"])]

    @Test func configurationGivesTemplateAndTokens() throws {
        let folder = TemporaryFolder()
        try folder.write(
            "tokenizer_config.json",
            #"{"bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null, "#
                + #""chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token is defined }}"}"#
        )
        let model = try ModelChatTemplate(folder: folder.root)
        #expect(try model.render(messages: messages) == "<s>Hi</s>False")
        #expect(try model.render(messages: messages, extra: ["eos_token": "!"]) == "<s>Hi!False")
    }

    @Test func filesTakePrecedence() throws {
        let folder = TemporaryFolder()
        try folder.write("tokenizer_config.json", #"{"bos_token": "<s>", "chat_template": "old"}"#)
        try folder.write("chat_template.jinja", "{{ bos_token }}new\n")
        folder.makeFolder("chat_templates")
        try folder.write("chat_templates/tool_use.jinja", "with {{ tools|length }}")
        try folder.write("chat_templates/rag.jinja", "{{ documents[0].text }}")
        let model = try ModelChatTemplate(folder: folder.root)
        #expect(model.templates.keys.sorted() == ["default", "rag", "tool_use"])
        #expect(try model.render(messages: messages) == "<s>new")
        #expect(try model.render(messages: messages, tools: [.object([:])]) == "with 1")
        #expect(try model.render(messages: messages, documents: [.object(["text": "d"])], name: "rag") == "d")
        #expect(throws: FormatError.self) { try model.template(named: "other") }
    }

    @Test func aListOfTemplates() throws {
        let folder = TemporaryFolder()
        try folder.write(
            "tokenizer_config.json",
            #"{"chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]}"#)
        let model = try ModelChatTemplate(folder: folder.root)
        #expect(try model.render(messages: messages) == "a")
        #expect(try model.render(messages: messages, tools: []) == "b")
    }

    @Test func whatIsMissingOrWrongIsSaid() throws {
        let folder = TemporaryFolder()
        #expect(throws: FormatError.self) { try ModelChatTemplate(folder: folder.root) }
        try folder.write("tokenizer_config.json", #"{"chat_template": [1]}"#)
        #expect(throws: FormatError.self) { try ModelChatTemplate(folder: folder.root) }
        try folder.write("chat_template.jinja", "x\n{% if %}")
        let error = try #require(throws: ChatTemplateError.self) { try ModelChatTemplate(folder: folder.root) }
        #expect(error.template == "chat_template.jinja" && error.line == 2)
    }
}
