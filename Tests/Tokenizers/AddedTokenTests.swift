import GDNFormats
import GDNTestSupport
import GDNTokenizers
import Testing

/// Added tokens, templates and what is refused: tokenizer.json files made from the golden ones.
@Suite struct AddedTokenTests {
    let folder = TemporaryFolder()

    /// The golden tokenizer with other parts.
    func made(_ changes: [String: String], of name: String = "bpe_gpt2") throws -> BytePairTokenizer {
        var file = try #require(
            try JSONValue(contentsOf: TemporaryFolder.fixture("golden/tokenizers/\(name).json")).object)
        for (key, text) in changes {
            let value = try JSONValue(parsing: text)
            if key.hasPrefix("model.") {
                var model = try #require(file["model"]?.object)
                model[String(key.dropFirst(6))] = value
                file["model"] = .object(model)
            } else {
                file[key] = value
            }
        }
        return try BytePairTokenizer(json: folder.write("tokenizer.json", JSONValue.object(file).text()))
    }

    func added(_ tokens: [(Int, String, [String])]) -> String {
        let items = tokens.map { id, content, flags in
            let members = ["lstrip", "rstrip", "single_word", "normalized", "special"]
                .map { "\"\($0)\":\(flags.contains($0))" }.joined(separator: ",")
            return "{\"id\":\(id),\"content\":\(JSONValue.string(content).text()),\(members)}"
        }
        return "[\(items.joined(separator: ","))]"
    }

    @Test func spaceAroundTokens() throws {
        let tokenizer = try made(["added_tokens": added([(900, "<m>", ["lstrip", "rstrip", "special"])])])
        let expected: [Int32] = tokenizer.encode("a") + [900] + tokenizer.encode("b")
        #expect(tokenizer.encode("a \u{a0}\n<m>\t b", specialTokens: .recognised) == expected)
        #expect(tokenizer.encode("<m> <m>", specialTokens: .recognised) == [900, 900])
        #expect(tokenizer.vocabularySize == 901)
    }

    @Test func wholeWordsOnly() throws {
        let tokenizer = try made(["added_tokens": added([(900, "the", ["single_word"])])])
        #expect(tokenizer.encode("the") == [900])
        #expect(tokenizer.encode("(the)").contains(900))
        #expect(!tokenizer.encode("then").contains(900))
        #expect(!tokenizer.encode("_the").contains(900))
        #expect(!tokenizer.encode("éthe").contains(900))
    }

    @Test func theLongestTokenWins() throws {
        let tokenizer = try made([
            "added_tokens": added([(900, "<a", []), (901, "<a><b", []), (902, "b>", [])])
        ])
        #expect(tokenizer.encode("<a><b>") == [901] + tokenizer.encode(">"))
        #expect(tokenizer.encode("<a><c>").first == 900)
        #expect(tokenizer.decode([900, 902]) == "<ab>")
    }

    /// A normalized token is looked for in normalized text, in its normalized form.
    @Test func normalizedTokens() throws {
        let tokens = added([(900, "e\u{301}q", ["normalized"]), (901, "e\u{301}z", [])])
        let tokenizer = try made(["added_tokens": tokens], of: "bpe_qwen")
        #expect(tokenizer.encode("e\u{301}q") == [900] && tokenizer.encode("\u{e9}q") == [900])
        #expect(tokenizer.encode("e\u{301}z") == [901] && tokenizer.encode("\u{e9}z") != [901])
    }

    @Test func templateAndRoles() throws {
        let template = """
            {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
            {"SpecialToken":{"id":"</s>","type_id":0}}],"pair":[],"special_tokens":{"<s>":{"id":"<s>","ids":[900],"tokens":["<s>"]},
            "</s>":{"id":"</s>","ids":[901],"tokens":["</s>"]}}}
            """
        let tokens = added([(900, "<s>", ["special"]), (901, "</s>", ["special"]), (902, "<pad>", ["special"])])
        try folder.write("tokenizer_config.json", #"{"eos_token":{"content":"</s>"},"pad_token":"<pad>"}"#)
        let tokenizer = try made(["post_processor": template, "added_tokens": tokens])
        #expect(tokenizer.frame == TokenFrame(prefix: [900], suffix: [901]))
        #expect(tokenizer.beginOfDocument == 900 && tokenizer.endOfDocument == 901 && tokenizer.padding == 902)
        #expect(tokenizer.encodePrompt("a") == [900] + tokenizer.encode("a"))
        let copy = folder.makeFolder("copy")
        try TokenizerFile.save(tokenizer, in: copy)
        let loaded = try TokenizerFile.load(from: copy)
        #expect(loaded.identity == tokenizer.identity && loaded.padding == 902)
        #expect(tokenizer.files.map { $0.name } == ["tokenizer.json", "tokenizer_config.json"])
    }

    @Test func spaceInFront() throws {
        let tokenizer = try made(["pre_tokenizer": #"{"type":"ByteLevel","add_prefix_space":true,"use_regex":true}"#])
        let plain = try GoldenTokenizerTests.tokenizer("bpe_gpt2")
        #expect(tokenizer.encode("the") == plain.encode(" the") && tokenizer.encode(" the") == plain.encode(" the"))
        #expect([UInt8]("ab\ncd".utf8).withUnsafeBytes { tokenizer.cut($0, from: 1) } == nil)
    }

    @Test func digitsApart() throws {
        let steps = #"[{"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false}]"#
        let tokenizer = try made(["pre_tokenizer": "{\"type\":\"Sequence\",\"pretokenizers\":\(steps)}"])
        let pieces = tokenizer.pieces(of: Array("a 12b".utf8), specialTokens: .asText)
        #expect(pieces.map { String(decoding: $0, as: UTF8.self) } == ["a", " ", "1", "2", "b"])
    }

    @Test(
        arguments: [
            ("normalizer", #"{"type":"NFKC"}"#, "normalizer"), ("pre_tokenizer", "null", "pre_tokenizer"),
            ("pre_tokenizer", #"{"type":"Whitespace"}"#, "pre_tokenizer"),
            (
                "pre_tokenizer", #"{"type":"Split","pattern":{"Regex":"\\w+"},"behavior":"Isolated","invert":false}"#,
                "pre_tokenizer.Split"
            ),
            ("post_processor", #"{"type":"RobertaProcessing"}"#, "post_processor"),
            ("decoder", #"{"type":"Metaspace"}"#, "decoder"), ("model.type", "\"Unigram\"", "model"),
            ("model.dropout", "0.1", "model.dropout"), ("model.byte_fallback", "true", "model.byte_fallback"),
            ("model.unk_token", "\"<unk>\"", "model.unk_token"),
            ("model.continuing_subword_prefix", "\"##\"", "model.continuing_subword_prefix"),
            ("added_tokens", "[{\"id\":-1,\"content\":\"x\"}]", "added_tokens"),
            ("added_tokens", "[{\"id\":3,\"content\":\"x\"}]", "added_tokens"), ("model.merges", "[\"zz qq\"]", nil),
            ("model.merges", "[\"a\"]", nil), ("model.vocab", "[]", nil),
        ] as [(String, String, String?)])
    func unsupportedPartsAreNamed(_ key: String, _ value: String, _ part: String?) throws {
        let error = #expect(throws: FormatError.self) { try made([key: value]) }
        #expect(error?.part == part && error?.file == folder.path("tokenizer.json"), "\(String(describing: error))")
    }

    /// Damaged files are refused or read, never more than that.
    @Test func damagedFiles() throws {
        let good = try TemporaryFolder.read(TemporaryFolder.fixture("golden/tokenizers/bpe_qwen.json"))
        var refused = 0
        for step in 0..<400 {
            var bytes = good
            if step % 2 == 0 {
                bytes.removeLast(bytes.count * (step + 1) / 401 + 1)
            } else {
                bytes[(bytes.count - 1) * step / 400] ^= UInt8(1 << (step % 7))
            }
            do {
                let tokenizer = try BytePairTokenizer(json: folder.write("damaged.json", bytes))
                _ = tokenizer.decode(tokenizer.encode("some text 123 漢字"))
            } catch is FormatError {
                refused += 1
            }
        }
        #expect(refused > 200)
    }
}
