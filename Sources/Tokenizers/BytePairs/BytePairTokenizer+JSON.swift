import GDNFormats

extension BytePairTokenizer {
    /// The name of Hugging Face's file.
    public static let jsonName = "tokenizer.json"
    /// Files that go with it: special tokens by role, chat template.
    private static let companions = [TokenRoles.fileName, "special_tokens_map.json", "chat_template.jinja"]

    /// Reads a tokenizer.json, and the tokenizer_config.json beside it if there is one.
    ///
    /// Truncation and padding that the file may ask for are not applied.
    /// - Throws: `FormatError` naming the part that is damaged or not supported.
    public init(json path: String) throws {
        let file = try MappedFile(path)
        let bytes = file.read(0..<file.bytes.count) { Array($0) }
        let parts = try bytes.withUnsafeBytes { try TokenizerJSON($0, file: path) }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
        var files = [TokenizerSource(name: Self.jsonName, bytes: bytes)]
        var roleNames: JSONValue?
        for name in Self.companions {
            guard let companion = try? MappedFile(folder + name) else { continue }
            if name == TokenRoles.fileName { roleNames = try JSONValue(contentsOf: folder + name) }
            files.append(.init(name: name, bytes: companion.read(0..<companion.bytes.count) { Array($0) }))
        }
        let dropsFirstSpace = try parts.dropsFirstSpace()
        let (added, frame) = (try parts.addedTokens(), try parts.frame())
        let roles = TokenRoles(added, frame: frame, configuration: roleNames)
        var configuration: JSONObject = [
            "format": "gdn-tokenizer", "version": 1, "type": "tokenizer.json",
            "sha256": .string(SHA256.digest(bytes)),
        ]
        for (key, value) in roles.members.members { configuration[key] = value }
        self.init(
            parts.model, normalizer: try parts.normalizer(), preTokenizer: try parts.preTokenizer(), added: added,
            frame: frame, roles: roles, files: files, configuration: configuration,
            dropsFirstSpace: dropsFirstSpace)
    }
}
