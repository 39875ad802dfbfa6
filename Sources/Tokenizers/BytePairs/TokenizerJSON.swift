import GDNFormats

/// A Hugging Face tokenizer.json as far as it is BPE, of bytes or, with `byte_fallback`, of characters: the parts, read and checked one by one.
///
/// What is not supported is an error that names the part, never something left out.
struct TokenizerJSON {
    private let file: String
    private let parts: JSONObject
    private let modelParts: JSONObject
    private(set) var model: BytePairModel

    /// Reads the parts of a text.
    /// - Throws: `FormatError` when it is no tokenizer.json, or not of this kind.
    init(_ bytes: UnsafeRawBufferPointer, file: String) throws {
        self.file = file
        var (parts, modelParts) = (JSONObject(), JSONObject())
        var (vocabularyPlace, mergesPlace): (Int?, Int?)
        var text = JSONText(bytes, file: file)
        try text.object { key, text in
            let name = String(decoding: key, as: UTF8.self)
            guard name == "model" else {
                parts[name] = try text.value(part: name)
                return
            }
            try text.object { key, text in
                let name = String(decoding: key, as: UTF8.self)
                switch name {
                case "vocab": vocabularyPlace = try text.skip().lowerBound
                case "merges": mergesPlace = try text.skip().lowerBound
                default: modelParts[name] = try text.value(part: "model.\(name)")
                }
            }
        }
        try text.end()
        (self.parts, self.modelParts) = (parts, modelParts)
        let type = modelParts["type"]?.string ?? (mergesPlace == nil ? "absent" : "BPE")
        guard type == "BPE", let vocabularyPlace, let mergesPlace else {
            throw Self.unsupported(
                file, "model", "type \"\(type)\"", "use a tokenizer of type BPE with vocab and merges")
        }
        let isOfBytes = modelParts["byte_fallback"]?.bool != true
        let vocabulary = try Self.vocabulary(
            JSONText(bytes, file: file, from: vocabularyPlace), bytes.count, isOfBytes: isOfBytes)
        var made: [Int32] = []
        let merges = try Self.merges(
            JSONText(bytes, file: file, from: mergesPlace), vocabulary, isOfBytes: isOfBytes, made: &made)
        model = BytePairModel(vocabulary: vocabulary, merges: merges)
        try readModelOptions()
        if !isOfBytes { model.characters = try characters(made) }
    }

    private static func vocabulary(_ text: JSONText, _ size: Int, isOfBytes: Bool) throws -> ByteStringTable {
        var (text, decoded) = (text, [UInt8]())
        var vocabulary = ByteStringTable(capacity: size / 64)
        let limit = Int32(clamping: max(1 << 16, size))
        try text.object { key, text in
            let token = try text.integer()
            guard token < limit else { throw text.failure("the token \(token) is too large for a file of this size") }
            if !isOfBytes {
                vocabulary.insert(key, token: token)
            } else if ByteAlphabet.decode(key, into: &decoded) {
                decoded.withUnsafeBytes { vocabulary.insert($0, token: token) }
            } else {
                vocabulary.insert(key, token: token, findable: false)
            }
        }
        return vocabulary
    }

    /// - Parameter made: receives what the merges make
    private static func merges(
        _ text: JSONText, _ vocabulary: ByteStringTable, isOfBytes: Bool, made: inout [Int32]
    ) throws -> PairTable {
        var (text, counter) = (text, text)
        var count = 0
        try counter.array { text in
            try text.skip()
            count += 1
        }
        let table = PairTable(capacity: count)
        var (rank, whole) = (UInt32(0), [UInt8]())
        var (left, right, line) = ([UInt8](), [UInt8](), [UInt8]())
        var (leftBytes, rightBytes) = ([UInt8](), [UInt8]())
        try text.array { text in
            if text.isAtString() {
                try text.string(into: &line)
                if rank == 0, line.starts(with: "#version".utf8) { return }
                let halves = line.split(separator: 0x20, omittingEmptySubsequences: false)
                guard halves.count == 2 else { throw text.failure("a merge should be two tokens with a space between") }
                (left, right) = (Array(halves[0]), Array(halves[1]))
            } else {
                var place = 0
                try text.array { text in
                    try text.string(into: &line)
                    if place == 0 { left = line } else { right = line }
                    place += 1
                }
                guard place == 2 else { throw text.failure("a merge should be a list of two tokens") }
            }
            if !isOfBytes {
                (leftBytes, rightBytes) = (left, right)
            } else if !left.withUnsafeBytes({ ByteAlphabet.decode($0, into: &leftBytes) })
                || !right.withUnsafeBytes({ ByteAlphabet.decode($0, into: &rightBytes) })
            {
                throw Self.unsupported(
                    text.file, "model.merges",
                    "merge of \(String(decoding: left, as: UTF8.self)) and \(String(decoding: right, as: UTF8.self)), which are no bytes",
                    "use a byte-level tokenizer, or the tokenizer.model of a SentencePiece one")
            }
            whole.removeAll(keepingCapacity: true)
            whole += leftBytes
            whole += rightBytes
            guard let first = leftBytes.withUnsafeBytes({ vocabulary.token(of: $0) }),
                let second = rightBytes.withUnsafeBytes({ vocabulary.token(of: $0) }),
                let merged = whole.withUnsafeBytes({ vocabulary.token(of: $0) })
            else {
                throw text.failure(
                    "merge \(rank) of \(String(decoding: left, as: UTF8.self)) and \(String(decoding: right, as: UTF8.self)) has tokens that are not in the vocabulary"
                )
            }
            table.insert(first, second, rank: rank, token: merged)
            made.append(merged)
            rank += 1
        }
        return table
    }

    private mutating func readModelOptions() throws {
        for name in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let value = modelParts[name], value != .null, value != "" { throw unsupported("model.\(name)", value) }
        }
        if let value = modelParts["dropout"], value != .null, value.double != 0 {
            throw unsupported("model.dropout", value)
        }
        model.keepsWholeWords = modelParts["ignore_merges"]?.bool ?? false
        if let text = modelParts["unk_token"]?.string {
            let token = Array(text.utf8).withUnsafeBytes { bytes in
                var decoded: [UInt8] = []
                if modelParts["byte_fallback"]?.bool == true { return model.vocabulary.token(of: bytes) }
                guard ByteAlphabet.decode(bytes, into: &decoded) else { return Int32?.none }
                return decoded.withUnsafeBytes { model.vocabulary.token(of: $0) }
            }
            guard let token else { throw unsupported("model.unk_token", .string(text)) }
            model.unknown = (token, modelParts["fuse_unk"]?.bool ?? false)
        }
    }

    /// What a vocabulary of characters needs.
    private func characters(_ made: [Int32]) throws -> CharacterPieces {
        let byteTokens = (0...255).map { byte in
            Array(SentencePieceModel.piece(ofByte: UInt8(byte))).withUnsafeBytes {
                model.vocabulary.token(of: $0) ?? -1
            }
        }
        guard !byteTokens.contains(-1) else {
            throw unsupported("model.byte_fallback", .bool(true), "without a token for each of the 256 bytes")
        }
        let bytes = Set(byteTokens)
        let vocabulary = model.vocabulary
        // A merge of byte tokens would reach across characters that nothing shows to be neighbours.
        let mergesBytes = made.contains {
            bytes.contains($0) || vocabulary.bytes($0)?.starts(with: "<0x".utf8) == true
        }
        return CharacterPieces(byteTokens: byteTokens, staysWhole: mergesBytes || model.keepsWholeWords) { body in
            for token in made { vocabulary.bytes(token)?.withUnsafeBytes(body) }
        }
    }

    // MARK: The other parts

    /// What happens to text before it is cut.
    func normalizer() throws -> TextNormalizer {
        let name = "normalizer"
        var result = TextNormalizer()
        if let part = parts[name], part != .null {
            for step in part["type"] == "Sequence" ? part["normalizers"]?.array ?? [] : [part] {
                switch step["type"]?.string {
                case "NFC": result.steps.append(.nfc)
                case "Prepend":
                    guard let text = step["prepend"]?.string else { throw unsupported(name, step) }
                    result.steps.append(.prepend(Array(text.utf8)))
                case "Replace":
                    guard let old = step["pattern"]?["String"]?.string, !old.isEmpty,
                        let new = step["content"]?.string
                    else { throw unsupported(name, step) }
                    result.steps.append(.replace(Array(old.utf8), by: Array(new.utf8)))
                default: throw unsupported(name, step["type"] ?? step)
                }
            }
        }
        return result
    }

    /// How text is cut into words.
    func preTokenizer() throws -> PreTokenizer {
        let name = "pre_tokenizer"
        if model.characters != nil {
            guard parts[name] ?? .null == .null else { throw unsupported(name, parts[name] ?? .null) }
            return PreTokenizer([])
        }
        guard let part = parts[name], part != .null else { throw unsupported(name, .null) }
        let steps = part["type"] == "Sequence" ? part["pretokenizers"]?.array ?? [] : [part]
        var result = PreTokenizer([])
        var isByteLevel = false
        for (index, step) in steps.enumerated() {
            guard !isByteLevel else { throw unsupported(name, step["type"] ?? step, "behind ByteLevel") }
            switch step["type"]?.string {
            case "Split": result.stages.append(.words(try pattern(step)))
            case "Digits": result.stages.append(.digits(each: step["individual_digits"]?.bool ?? false))
            case "ByteLevel":
                isByteLevel = true
                if step["use_regex"]?.bool ?? true { result.stages.append(.words(.gpt2)) }
                result.addsPrefixSpace = step["add_prefix_space"]?.bool ?? true
                if result.addsPrefixSpace, index > 0 { throw unsupported(name, step, "behind other steps") }
            default: throw unsupported(name, step["type"] ?? step)
            }
        }
        guard isByteLevel else { throw unsupported(name, part["type"] ?? part, "without ByteLevel") }
        return result
    }

    private func pattern(_ step: JSONValue) throws -> WordPattern {
        let part = "pre_tokenizer.Split"
        guard let expression = step["pattern"]?["Regex"]?.string, let pattern = WordPattern(expression: expression)
        else {
            throw Self.unsupported(
                file, part, "pattern \((step["pattern"] ?? .null).text())",
                "patterns of these tokenizers are known: \(WordPattern.all.map(\.name).joined(separator: ", "))")
        }
        let (behavior, inverted) = (step["behavior"]?.string ?? "absent", step["invert"]?.bool ?? false)
        // The patterns match every character, so what lies between matches is nothing.
        guard behavior == "Isolated" && !inverted || behavior == "Removed" && inverted else {
            throw Self.unsupported(
                file, part, "behavior \(behavior), invert \(inverted)", "use Isolated without invert")
        }
        return pattern
    }

    /// Tokens that are found in the text as they stand.
    func addedTokens() throws -> [AddedToken] {
        try (parts["added_tokens"]?.array ?? []).map { item in
            guard let id = item["id"]?.integer, let token = Int32(exactly: id), token >= 0,
                let content = item["content"]?.string
            else { throw unsupported("added_tokens", item) }
            let isSpecial = item["special"]?.bool ?? false
            var result = AddedToken(token, content, isSpecial: isSpecial)
            result.takesSpaceBefore = item["lstrip"]?.bool ?? false
            result.takesSpaceBehind = item["rstrip"]?.bool ?? false
            result.isSingleWord = item["single_word"]?.bool ?? false
            result.isNormalized = item["normalized"]?.bool ?? !isSpecial
            try check(result)
            return result
        }
    }

    /// Makes sure that an added token and the vocabulary agree, where both know the token.
    private func check(_ added: AddedToken) throws {
        guard let known = model.vocabulary.bytes(added.token) else { return }
        let content = Array(added.content.utf8)
        var decoded: [UInt8] = []
        let isBytes = model.characters == nil && content.withUnsafeBytes { ByteAlphabet.decode($0, into: &decoded) }
        guard known.elementsEqual(isBytes ? decoded : content) else {
            throw FormatError(
                file: file, part: "added_tokens",
                rule: "\(added.content) is token \(added.token), which the vocabulary has for something else",
                advice: "take the file as it was published")
        }
    }

    /// Tokens around a text.
    func frame() throws -> TokenFrame {
        let name = "post_processor"
        guard let part = parts[name], part != .null else { return TokenFrame() }
        var frame = TokenFrame()
        for step in part["type"] == "Sequence" ? part["processors"]?.array ?? [] : [part] {
            switch step["type"]?.string {
            case "ByteLevel": continue
            case "TemplateProcessing":
                guard frame == TokenFrame() else { throw unsupported(name, "TemplateProcessing", "twice") }
                frame = try template(step)
            default: throw unsupported(name, step["type"] ?? step)
            }
        }
        return frame
    }

    private func template(_ step: JSONValue) throws -> TokenFrame {
        let part = "post_processor.TemplateProcessing"
        var (frame, isBehind) = (TokenFrame(), false)
        for item in step["single"]?.array ?? [] {
            if item["Sequence"] != nil {
                guard !isBehind else { throw unsupported(part, item, "twice") }
                isBehind = true
            } else if let name = item["SpecialToken"]?["id"]?.string,
                let ids = step["special_tokens"]?[name]?["ids"]?.array?.compactMap(\.integer)
            {
                let tokens = ids.compactMap { Int32(exactly: $0) }
                if isBehind { frame.suffix += tokens } else { frame.prefix += tokens }
            } else {
                throw unsupported(part, item)
            }
        }
        guard isBehind else { throw unsupported(part, step["single"] ?? .null, "without the text") }
        return frame
    }

    /// Makes sure that tokens become text by their bytes, or by their characters.
    /// - Returns: whether a space at the beginning of a text is dropped.
    func dropsFirstSpace() throws -> Bool {
        let part = parts["decoder"] ?? .null
        let steps = part == .null ? [] : part["type"] == "Sequence" ? part["decoders"]?.array ?? [] : [part]
        guard model.characters != nil else {
            for step in steps where step["type"] != "ByteLevel" { throw unsupported("decoder", step["type"] ?? step) }
            return false
        }
        let usual = ["Replace", "ByteFallback", "Fuse", "Strip"]
        let replaced = steps.first
        let strip = steps.count == 4 ? steps[3] : nil
        guard steps.count >= 3, steps.map({ $0["type"]?.string ?? "" }) == Array(usual.prefix(steps.count)),
            replaced?["pattern"]?["String"] == "\u{2581}", replaced?["content"] == " ",
            strip.map({ $0["content"] == " " && $0["start"] == 1 && $0["stop"] == 0 }) ?? true
        else { throw unsupported("decoder", part) }
        return strip != nil
    }

    private func unsupported(_ part: String, _ value: JSONValue, _ remark: String = "") -> FormatError {
        Self.unsupported(
            file, part, value.text() + (remark.isEmpty ? "" : " " + remark),
            "byte-level BPE is supported: normalizer NFC or none; pre-tokenizers Split with a known pattern, Digits and ByteLevel; post-processors TemplateProcessing and ByteLevel; decoder ByteLevel; and BPE with byte_fallback: normalizers Prepend and Replace, no pre-tokenizer, decoders Replace, ByteFallback, Fuse, Strip"
        )
    }

    private static func unsupported(_ file: String, _ part: String, _ what: String, _ advice: String) -> FormatError {
        FormatError(file: file, part: part, rule: "\(what) is not supported", advice: advice)
    }
}
