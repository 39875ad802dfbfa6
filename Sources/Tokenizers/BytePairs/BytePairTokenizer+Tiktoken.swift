import GDNFormats

extension BytePairTokenizer {
    /// Reads a tiktoken rank file: lines of a token in base64, a space and its rank, which is the token's number too.
    ///
    /// The file holds neither the pattern that cuts text into words nor special tokens.
    /// - Parameters:
    ///   - path: the file
    ///   - pattern: by name (`WordPattern`); nil: guessed from the file's name
    ///   - special: special tokens by their text; nil: those of the tokenizer that pattern and size belong to
    /// - Throws: `FormatError` when the file is damaged or the pattern unknown.
    public init(tiktoken path: String, pattern: String? = nil, special: [String: Int32]? = nil) throws {
        let file = try MappedFile(path)
        let bytes = file.read(0..<file.bytes.count) { Array($0) }
        let vocabulary = try Self.ranks(bytes, path)
        let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
        guard let words = pattern.map({ WordPattern(name: $0) }) ?? TiktokenFamily.pattern(fileName: name) else {
            throw FormatError(
                file: path, part: "pattern",
                rule: pattern.map { "\"\($0)\" is unknown" } ?? "a rank file does not say how text is cut into words",
                advice: "name one of \(WordPattern.all.map(\.name).joined(separator: ", "))")
        }
        let family = TiktokenFamily(words, tokens: vocabulary.count)
        let added = (special.map { Array($0) } ?? family.special.map { ($0, $1) })
            .map { AddedToken($0.1, $0.0, isSpecial: true) }.sorted { $0.token < $1.token }
        var model = BytePairModel(vocabulary: vocabulary, merges: Self.merges(vocabulary))
        model.keepsWholeWords = true
        let frame = TokenFrame(prefix: special == nil ? family.prefix : [])
        let roles = TokenRoles(added, frame: frame)
        var tokens = JSONObject()
        for token in added { tokens[token.content] = .integer(Int(token.token)) }
        var configuration: JSONObject = [
            "format": "gdn-tokenizer", "version": 1, "type": "tiktoken", "file": .string(name),
            "sha256": .string(SHA256.digest(bytes)), "pattern": .string(words.name),
            "normalizer": words.normalizes ? "NFC" : .null, "special_tokens": .object(tokens),
        ]
        for (key, value) in roles.members.members { configuration[key] = value }
        let text = JSONValue.object(configuration).text(indented: true) + "\n"
        self.init(
            model, normalizer: TextNormalizer(steps: words.normalizes ? [.nfc] : []),
            preTokenizer: PreTokenizer([.words(words)]), added: added,
            frame: frame,
            roles: roles,
            files: [.init(name: TokenizerFile.name, bytes: Array(text.utf8)), .init(name: name, bytes: bytes)],
            configuration: configuration)
    }

    /// The tokenizer of a gdn_tokenizer.json with `type: tiktoken`, whose `file` lies beside it.
    init(tiktoken configuration: JSONObject, file: String) throws {
        let refuse = { (rule: String) in
            FormatError(file: file, rule: rule, advice: "take the file from the checkpoint it belongs to")
        }
        guard let name = configuration["file"]?.string, !name.isEmpty, !name.contains("/"),
            let pattern = configuration["pattern"]?.string
        else { throw refuse("a tiktoken tokenizer has a file, which lies in the same folder, and a pattern") }
        var special: [String: Int32]?
        if let tokens = configuration["special_tokens"]?.object {
            special = [:]
            for (text, value) in tokens.members {
                guard let token = value.integer.flatMap({ Int32(exactly: $0) }), token >= 0 else {
                    throw refuse("special_tokens maps texts to whole numbers, \(text) does not")
                }
                special?[text] = token
            }
        }
        let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
        let known = special == nil
        try self.init(tiktoken: folder + name, pattern: pattern, special: special)
        if let sum = configuration["sha256"]?.string, !known, sum != self.configuration["sha256"]?.string {
            throw refuse("\(name) is not the file whose SHA-256 is \(sum)")
        }
    }

    private static func ranks(_ bytes: [UInt8], _ path: String) throws -> ByteStringTable {
        var vocabulary = ByteStringTable(capacity: bytes.count / 12)
        let limit = max(1 << 16, bytes.count)
        for (number, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty {
            let parts = line.split(separator: 0x20)
            guard parts.count == 2, let token = base64(parts[0]), !token.isEmpty,
                let rank = Int(String(decoding: parts[1].filter { $0 != 0x0d }, as: UTF8.self)), rank >= 0, rank < limit
            else {
                throw FormatError(
                    file: path, part: "line \(number + 1)", rule: "must be a token in base64, a space and its rank",
                    advice: "take the file as it was published")
            }
            guard token.withUnsafeBytes({ vocabulary.token(of: $0) }) == nil, vocabulary.bytes(Int32(rank)) == nil
            else {
                throw FormatError(
                    file: path, part: "line \(number + 1)", rule: "token or rank \(rank) is there twice",
                    advice: "take the file as it was published")
            }
            token.withUnsafeBytes { vocabulary.insert($0, token: Int32(rank)) }
        }
        return vocabulary
    }

    /// tiktoken merges any two tokens that together are one; its rank decides. So each way to cut a token in two tokens
    /// is a merge.
    private static func merges(_ vocabulary: ByteStringTable) -> PairTable {
        var merges: [(left: Int32, right: Int32, token: Int32)] = []
        for token in 0..<Int32(vocabulary.count) {
            guard let bytes = vocabulary.bytes(token), bytes.count > 1 else { continue }
            bytes.withUnsafeBytes { bytes in
                for cut in 1..<bytes.count {
                    if let left = vocabulary.token(of: .init(rebasing: bytes[..<cut])),
                        let right = vocabulary.token(of: .init(rebasing: bytes[cut...]))
                    {
                        merges.append((left, right, token))
                    }
                }
            }
        }
        let table = PairTable(capacity: merges.count)
        for merge in merges { table.insert(merge.left, merge.right, rank: UInt32(merge.token), token: merge.token) }
        return table
    }

    private static func base64(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var (result, value, bits) = ([UInt8](), UInt32(0), 0)
        for byte in text {
            let digit: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): digit = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): digit = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): digit = 62
            case UInt8(ascii: "/"): digit = 63
            case UInt8(ascii: "="): continue
            default: return nil
            }
            (value, bits) = (value << 6 | UInt32(digit), bits + 6)
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
            }
        }
        return result
    }
}
