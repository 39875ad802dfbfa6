import GDNFormats

/// Which tokens begin, end and fill up documents.
struct TokenRoles: Equatable {
    var begin: Int32?
    var end: Int32?
    var padding: Int32?

    /// The file that names the special tokens of a tokenizer.json beside it.
    static let fileName = "tokenizer_config.json"
    /// Tokens that end a document where no such file says so.
    private static let usualEnds = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"]

    /// The roles of a tokenizer whose special tokens are these.
    /// - Parameters:
    ///   - configuration: `tokenizer_config.json`, which names tokens by their text
    ///   - frame: tokens around a text; a single one before it begins a document
    init(_ added: [AddedToken], frame: TokenFrame, configuration: JSONValue? = nil) {
        func token(_ key: String) -> Int32? {
            let value = configuration?[key]
            guard let text = value?.string ?? value?["content"]?.string else { return nil }
            return added.first { $0.content == text }?.token
        }
        begin = frame.prefix.count == 1 ? frame.prefix[0] : nil
        end = token("eos_token")
        padding = token("pad_token")
        if end == nil, configuration?["eos_token"] == nil {
            end =
                Self.usualEnds.lazy.compactMap { name in added.first { $0.content == name && $0.isSpecial } }.first?
                .token
        }
    }

    /// As part of a tokenizer's configuration.
    var members: JSONObject {
        let value = { (token: Int32?) in token.map { JSONValue.integer(Int($0)) } ?? .null }
        return ["begin_of_document": value(begin), "end_of_document": value(end), "padding": value(padding)]
    }
}
