/// What published rank files leave to the code that reads them: pattern and special tokens.
struct TiktokenFamily {
    /// Special tokens by their text.
    private(set) var special: [(String, Int32)] = []
    /// Tokens before a text.
    private(set) var prefix: [Int32] = []

    /// The family of a pattern and a number of ranks; without special tokens when there is none.
    init(_ pattern: WordPattern, tokens: Int) {
        switch (pattern, tokens) {
        case (.gpt2, 50_256), (.gpt2, 50_281): special = [("<|endoftext|>", 50_256)]
        case (.cl100k, 100_256):
            special = [
                ("<|endoftext|>", 100_257), ("<|fim_prefix|>", 100_258), ("<|fim_middle|>", 100_259),
                ("<|fim_suffix|>", 100_260), ("<|endofprompt|>", 100_276),
            ]
        case (.o200k, 199_998): special = [("<|endoftext|>", 199_999), ("<|endofprompt|>", 200_018)]
        case (.qwen2, 151_643):
            let names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + (0..<205).map { "<|extra_\($0)|>" }
            special = names.enumerated().map { ($1, Int32(151_643 + $0)) }
        case (.llama3, 128_000):
            let named = [
                0: "<|begin_of_text|>", 1: "<|end_of_text|>", 6: "<|start_header_id|>", 7: "<|end_header_id|>",
                9: "<|eot_id|>",
            ]
            var reserved = 0
            for offset in 0..<256 {
                if named[offset] == nil { reserved += 1 }
                special.append(
                    (named[offset] ?? "<|reserved_special_token_\(reserved - 1)|>", Int32(128_000 + offset)))
            }
            prefix = [128_000]
        default: break
        }
    }

    /// The pattern that the name of a published file stands for.
    static func pattern(fileName: String) -> WordPattern? {
        let name = fileName.lowercased()
        let marks: [(String, WordPattern)] = [
            ("o200k", .o200k), ("cl100k", .cl100k), ("r50k", .gpt2), ("p50k", .gpt2), ("gpt2", .gpt2),
            ("qwen", .qwen2), ("llama3", .llama3), ("llama-3", .llama3), ("tokenizer.model", .llama3),
        ]
        return marks.first { name.contains($0.0) }?.1
    }
}
