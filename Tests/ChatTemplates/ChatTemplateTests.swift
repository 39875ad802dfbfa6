import GDNFormats
import GDNTestSupport
import GDNTokenizers
import Testing

/// Texts that PyPI jinja2 rendered (Interop/python/chat_templates.py writes them); null where it refused.
@Suite struct ChatTemplateTests {
    private static func lines(_ name: String) throws -> [JSONValue] {
        try TemporaryFolder.read(TemporaryFolder.fixture("chat_templates/\(name)")).split(separator: UInt8(ascii: "\n"))
            .map { line in try Array(line).withUnsafeBytes { try JSONValue(parsing: $0, file: name) } }
    }

    /// The text; nil when the template is refused by an error of this type.
    private static func render(_ source: String, _ variables: JSONObject) throws -> String? {
        do {
            return try ChatTemplate(source: source).render(variables: variables)
        } catch is ChatTemplateError {
            return nil
        }
    }

    @Test func conversationsAreRenderedAsByJinja() throws {
        var sources: [String: String] = [:]
        let inputs = try JSONValue(contentsOf: TemporaryFolder.fixture("chat_templates/inputs.json"))
        let lines = try Self.lines("conversations.jsonl")
        #expect(lines.count > 300)
        for line in lines {
            let name = try #require(line["template"]?.string)
            let path = TemporaryFolder.fixture("chat_templates/templates/\(name).jinja")
            let source = try sources[name] ?? String(decoding: TemporaryFolder.read(path), as: UTF8.self)
            sources[name] = source
            var variables = try #require(line.object)
            let number = try #require(line["messages"]?.integer)
            variables["messages"] = inputs["conversations"]?.array?[number]
            for name in ["tools", "documents"] { variables[name] = line[name]?.bool == true ? inputs[name] : .null }
            (variables["template"], variables["text"]) = (nil, nil)
            let text = try Self.render(source, variables)
            #expect(text.map { Array($0.utf8) } == line["text"]?.string.map { Array($0.utf8) }, "\(name)")
        }
        #expect(sources.count == 12)
    }

    @Test func snippetsAreRenderedAsByJinja() throws {
        let path = TemporaryFolder.fixture("chat_templates/variables.json")
        let variables = try #require(try JSONValue(contentsOf: path).object)
        var unsupported = 0
        let lines = try Self.lines("snippets.jsonl")
        #expect(lines.count > 800)
        for line in lines {
            let source = try #require(line["template"]?.string)
            let expected = line["text"]?.string
            do {
                let text = try ChatTemplate(source: source).render(variables: variables)
                #expect(Array(text.utf8) == expected.map { Array($0.utf8) }, "\(source)")
            } catch let error as ChatTemplateError where error.kind == .unsupported || error.kind == .limit {
                unsupported += expected == nil ? 0 : 1
            } catch {
                #expect(expected == nil, "\(source): \(error)")
            }
        }
        // Whole numbers beyond 64 bits, characters by name, bytes, attributes of numbers, autoescape.
        #expect(unsupported <= 12)
    }

    @Test(arguments: [
        ("{{ 1\n}}{% nonsense %}", ChatTemplateError.Kind.unsupported, 2, 6),
        ("a\n  {{ x|nothing }}", .unsupported, 2, 8), ("{{ x is nothing }}", .unsupported, 1, 6),
        ("{% for i in [1] %}", .syntax, 1, 19), ("ab{{ (1 }}", .syntax, 1, 9), ("{{ 'a }}", .syntax, 1, 4),
        ("{{ 1 }}\n{{ x.y.z }}", .undefined, 2, 5), ("{{ raise_exception('no') }}", .raised, 1, 19),
        ("{{ 1 +\n 'a' }}", .value, 1, 6), ("{{ 'a' * 1000000000000 }}", .limit, 1, 8),
        ("{{ [].append(1) }}", .undefined, 1, 13), ("{% include 'x' %}", .unsupported, 1, 4),
    ])
    func errorsSayWhere(_ source: String, _ kind: ChatTemplateError.Kind, _ line: Int, _ column: Int) throws {
        let error = try #require(throws: ChatTemplateError.self) {
            try ChatTemplate(source: source, name: "t").render(variables: [:])
        }
        #expect(error.kind == kind, "\(error)")
        #expect(error.template == "t" && error.line == line && error.column == column, "\(error)")
    }

    /// Found by the comparison with random expressions: what is undefined counts as a sequence of nothing.
    @Test func undefinedIsASequence() throws {
        let source = "{{ missing is sequence }} {{ missing is iterable }} {{ none is sequence }} {{ 1 is sequence }}"
        #expect(try ChatTemplate(source: source).render(variables: [:]) == "True True False False")
    }

    /// A field that begins with an attribute or a key was counted like an empty one.
    @Test func fieldsOfFormatsNameAnArgument() throws {
        #expect(try ChatTemplate(source: "{{ '{0[a]}'.format({'a': 1}) }}").render(variables: [:]) == "1")
        for field in ["{.a}", "{[a]}"] {
            let template = try ChatTemplate(source: "{{ '\(field)'.format({'a': 1}) }}")
            let error = #expect(throws: ChatTemplateError.self) { try template.render(variables: [:]) }
            #expect(error?.kind == .value)
        }
    }

    /// Each of these would run for ever, fill the memory or exhaust the stack.
    @Test(arguments: [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(9999) %}{% set ns.x = ns.x|map('list') %}{% endfor %}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}", "{{ range(1000000000) }}",
        "{{ '%1000000000d' % 1 }}", "{{ '{:1000000000}'.format(1) }}", "{{ 'a'.center(1000000000) }}",
        "{{ 'a'|indent(1000000000, true) }}", "{{ ('a' * 9999999).replace('', 'b' * 99999) }}",
    ])
    func hostileTemplatesEndWithAnError(_ source: String) throws {
        var limits = ChatTemplate.Limits()
        limits.work = 1_000_000
        let error = try #require(throws: ChatTemplateError.self) {
            try ChatTemplate(source: source, limits: limits).render(variables: [:])
        }
        #expect(error.kind == .limit || error.kind == .value, "\(error)")
    }

    /// What needs deep recursion in the parser.
    @Test(arguments: ["(", "[", "not ", "-", "{'a':", "x if y else ", "a.b(", "1 if (", "x is ("])
    func nestingIsBounded(_ part: String) {
        #expect(throws: ChatTemplateError.self) {
            try ChatTemplate(source: "{{ " + String(repeating: part, count: 50_000) + "1 }}")
        }
    }

    @Test func longChainsAndNestedTagsAreBounded() {
        for source in [
            "{{ 1" + String(repeating: " + 1", count: 10_000) + " }}",
            "{{ x" + String(repeating: ".a", count: 10_000) + " }}",
            "{{ x" + String(repeating: "|list", count: 10_000) + " }}",
            String(repeating: "{% if true %}", count: 10_000) + String(repeating: "{% endif %}", count: 10_000),
        ] {
            let error = #expect(throws: ChatTemplateError.self) { try ChatTemplate(source: source) }
            #expect(error?.kind == .limit)
        }
    }

    /// The deepest that is allowed must fit the stack of the smallest thread that renders.
    @Test func theDeepestAllowedIsFine() throws {
        let brackets = String(repeating: "(", count: 90) + "1" + String(repeating: ")", count: 90)
        #expect(try ChatTemplate(source: "{{ \(brackets) }}").render(variables: [:]) == "1")
        let sum = "{{ 1" + String(repeating: " + 1", count: 190) + " }}"
        #expect(try ChatTemplate(source: sum).render(variables: [:]) == "191")
        let tags = String(repeating: "{% if true %}", count: 95) + "x" + String(repeating: "{% endif %}", count: 95)
        #expect(try ChatTemplate(source: tags).render(variables: [:]) == "x")
        let macro = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% endif %}{{ n }}{% endmacro %}{{ m(60)|length }}"
        #expect(try ChatTemplate(source: macro).render(variables: [:]) == "112")
    }

    @Test func mutatedTemplatesNeverCrash() throws {
        let path = TemporaryFolder.fixture("chat_templates/templates/qwen3-manner.jinja")
        let source = try Array(String(decoding: TemporaryFolder.read(path), as: UTF8.self).unicodeScalars)
        let messages: [JSONValue] = [.object(["role": "user", "content": "Hi"]), .object(["role": "assistant"])]
        var generator = SystemRandomNumberGenerator()
        var refused = 0
        for _ in 0..<300 {
            var mutated = source
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let start = Int.random(in: 0..<mutated.count, using: &generator)
                let end = min(mutated.count, start + Int.random(in: 0...12, using: &generator))
                let new =
                    ["", "{%", "%}", "{{", "(", ")", "|", "'", " if ", "~"].randomElement(using: &generator) ?? ""
                mutated.replaceSubrange(start..<end, with: Array(new.unicodeScalars))
            }
            var text = String.UnicodeScalarView()
            text.append(contentsOf: mutated)
            do {
                _ = try ChatTemplate(source: String(text)).render(messages: messages)
            } catch is ChatTemplateError {
                refused += 1
            }
        }
        #expect(refused > 0)
    }

    @Test func messagesArePreparedAsByTransformers() throws {
        let template = try ChatTemplate(source: "{{ messages|tojson }}{{ tools is none }}{{ documents }}")
        let message: JSONValue = .object(["role": "assistant", "content": .null, "reasoning": "why"])
        #expect(
            try template.render(messages: [message])
                == #"[{"thinking": "why", "role": "assistant", "reasoning": "why", "reasoning_content": "why"}]TrueNone"#
        )
        #expect(throws: ChatTemplateError.self) { try template.render(messages: ["text"]) }
    }

    @Test func timeIsTheGivenOne() throws {
        let template = try ChatTemplate(source: "{{ strftime_now('%Y') }}{{ strftime_now('') }}")
        #expect(try template.render(variables: [:], secondsSince1970: 1_700_000_000) == "2023")
    }
}
