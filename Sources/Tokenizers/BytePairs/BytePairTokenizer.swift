import GDNFormats
import GDNTensor

/// Byte-pair encoding: a Hugging Face tokenizer.json, of bytes or of characters, or a tiktoken rank file.
///
/// 1. Bytes that are no UTF-8 become U+FFFD (`UTF8Sequence.repaired`).
/// 2. Added tokens are found; special ones only when asked for.
/// 3. What stands between them is normalized, searched for added tokens again, and cut into words.
/// 4. Each word's bytes become tokens that merge by rank (`WordEncoder`).
public struct BytePairTokenizer: Tokenizer {
    let model: BytePairModel
    let normalizer: TextNormalizer
    let preTokenizer: PreTokenizer
    let added: [AddedToken]
    /// Tokens around a text, as the file's template has them.
    public let frame: TokenFrame
    /// The token before a document: what the template puts there, if it is one.
    public let beginOfDocument: Int32?
    /// The token behind a document.
    public let endOfDocument: Int32?
    /// The token that fills up rows.
    public let padding: Int32?
    /// One more than the largest token.
    public let vocabularySize: Int
    /// The files it was read from.
    public let files: [TokenizerSource]
    /// All that decides what tokens mean.
    public let configuration: JSONObject

    /// Whether a space at the very beginning of a decoded text is dropped.
    let dropsFirstSpace: Bool
    private let isCuttable: Bool
    private let rawFinder: AddedTokenFinder
    private let normalFinder: AddedTokenFinder
    private let contents: [Int32: (bytes: [UInt8], isSpecial: Bool)]
    private let idle = ScratchPool<WordEncoder>()

    init(
        _ model: BytePairModel, normalizer: TextNormalizer, preTokenizer: PreTokenizer, added: [AddedToken],
        frame: TokenFrame, roles: TokenRoles, files: [TokenizerSource], configuration: JSONObject,
        dropsFirstSpace: Bool = false
    ) {
        self.dropsFirstSpace = dropsFirstSpace
        (self.model, self.normalizer, self.preTokenizer, self.added) = (model, normalizer, preTokenizer, added)
        (self.frame, self.files, self.configuration) = (frame, files, configuration)
        (beginOfDocument, endOfDocument, padding) = (roles.begin, roles.end, roles.padding)
        vocabularySize = max(model.vocabulary.count, added.map { Int($0.token) + 1 }.max() ?? 0)
        isCuttable =
            !preTokenizer.addsPrefixSpace && preTokenizer.cutsAtNewlines
            && !added.contains { $0.takesSpaceBefore || $0.content.utf8.contains(0x0a) }
        let texts = added.map { (token: $0, content: Array($0.content.utf8)) }
        rawFinder = AddedTokenFinder(texts.filter { !$0.token.isNormalized })
        normalFinder = AddedTokenFinder(
            texts.filter(\.token.isNormalized).map { token, content in
                (token, content.withUnsafeBytes { normalizer.normal($0) } ?? content)
            })
        contents = Dictionary(
            texts.map { token, content in
                // The decoder reads added tokens in the byte alphabet too, as the Python package does.
                var decoded: [UInt8] = []
                let isBytes = content.withUnsafeBytes { ByteAlphabet.decode($0, into: &decoded) }
                return (token.token, (isBytes ? decoded : content, token.isSpecial))
            }, uniquingKeysWith: { _, last in last })
    }

    /// Appends the tokens of a text; special tokens in it are text like any other.
    public func encode(_ bytes: UnsafeRawBufferPointer, into tokens: inout [Int32]) {
        encode(bytes, specialTokens: .asText, into: &tokens)
    }

    /// Appends the tokens of a text.
    public func encode(
        _ bytes: UnsafeRawBufferPointer, specialTokens: SpecialTokenHandling, into tokens: inout [Int32]
    ) {
        guard !bytes.isEmpty else { return }
        guard UTF8Scan.firstInvalid(bytes) == nil else {
            let repaired = UTF8Sequence.repaired(bytes).bytes
            return repaired.withUnsafeBytes { encode($0, specialTokens: specialTokens, into: &tokens) }
        }
        let encoder = idle.take() ?? WordEncoder(model)
        rawFinder.split(bytes, skipsSpecial: specialTokens == .asText) { part in
            switch part {
            case .token(let token): encoder.append(token, into: &tokens)
            case .text(let range):
                encode(raw: UnsafeRawBufferPointer(rebasing: bytes[range]), specialTokens, encoder, &tokens)
            }
        }
        encoder.flush(into: &tokens)
        idle.give(encoder)
    }

    private func encode(
        raw: UnsafeRawBufferPointer, _ specialTokens: SpecialTokenHandling, _ encoder: WordEncoder,
        _ tokens: inout [Int32]
    ) {
        if let normal = normalizer.normal(raw) {
            normal.withUnsafeBytes { encode(normal: $0, specialTokens, encoder, &tokens) }
        } else {
            encode(normal: raw, specialTokens, encoder, &tokens)
        }
    }

    private func encode(
        normal: UnsafeRawBufferPointer, _ specialTokens: SpecialTokenHandling, _ encoder: WordEncoder,
        _ tokens: inout [Int32]
    ) {
        normalFinder.split(normal, skipsSpecial: specialTokens == .asText) { part in
            switch part {
            case .token(let token): encoder.append(token, into: &tokens)
            case .text(let range):
                let text = UnsafeRawBufferPointer(rebasing: normal[range])
                if preTokenizer.addsPrefixSpace, text[0] != 0x20 {
                    ([0x20] + text).withUnsafeBytes { encode(words: $0, encoder, &tokens) }
                } else {
                    encode(words: text, encoder, &tokens)
                }
            }
        }
    }

    private func encode(words text: UnsafeRawBufferPointer, _ encoder: WordEncoder, _ tokens: inout [Int32]) {
        guard let base = text.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        func encode(_ word: Range<Int>) {
            encoder.encode(
                base + word.lowerBound, word.count, readable: text.count &- word.lowerBound, into: &tokens)
        }
        if let characters = model.characters { return characters.split(text) { encode($0) } }
        preTokenizer.split(text) { encode($0) }
    }

    /// Behind a newline that stands alone between printable ASCII characters: no pattern has a word across it, and none
    /// looks beyond it.
    ///
    /// None where added tokens could reach across, or where each text gets a space in front.
    public func cut(_ bytes: UnsafeRawBufferPointer, from index: Int) -> Int? {
        guard isCuttable else { return nil }
        let isPlain = { (byte: UInt8) in byte > 0x20 && byte < 0x7f }
        for place in max(2, index)..<max(2, index, bytes.count)
        where bytes[place - 1] == 0x0a && isPlain(bytes[place - 2]) && isPlain(bytes[place])
            && bytes[place] != UInt8(ascii: "/")
        {
            return place
        }
        return nil
    }

    /// The bytes of a token; none for special tokens and for tokens that are not there.
    public func bytes(of token: Int32) -> [UInt8] {
        if let content = contents[token] { return content.isSpecial ? [] : content.bytes }
        if model.characters != nil { return model.vocabulary.bytes(token).map(Self.text(ofPiece:)) ?? [] }
        return model.vocabulary.bytes(token).map(Array.init) ?? []
    }

    /// What a piece of characters is in a text: a space for U+2581, a byte for `<0x0A>`.
    private static func text(ofPiece piece: ArraySlice<UInt8>) -> [UInt8] {
        if let byte = SentencePieceModel.byte(of: Array(piece)) { return [byte] }
        let space = TextNormalizer(steps: [.replace(CharacterPieces.space, by: [0x20])])
        return piece.withUnsafeBytes { space.normal($0) } ?? []
    }

    /// Appends what a token adds to a text: at its beginning without the space that was put there.
    public func append(_ token: Int32, to bytes: inout [UInt8], atStart: inout Bool) {
        let more = self.bytes(of: token)
        guard !more.isEmpty else { return }
        bytes += atStart && dropsFirstSpace && more[0] == 0x20 ? more[1...] : more[...]
        atStart = false
    }

    /// Of characters: each byte that is no valid UTF-8 is decoded to a U+FFFD of its own.
    public var replacesEachByte: Bool { model.characters != nil }

    /// The tokens found in text as they stand; the special ones among them steer the model.
    public var addedTokens: [AddedToken] { added }

    /// The pieces that a text is cut into, by the tokens they become: added tokens, and words.
    package func pieces(of bytes: [UInt8], specialTokens: SpecialTokenHandling) -> [[UInt8]] {
        let repaired = bytes.withUnsafeBytes { UTF8Sequence.repaired($0).bytes }
        var result: [[UInt8]] = []
        func words(_ text: UnsafeRawBufferPointer) {
            normalFinder.split(text, skipsSpecial: specialTokens == .asText) { part in
                switch part {
                case .token(let token): result.append(contents[token]?.bytes ?? [])
                case .text(let range):
                    var piece = Array(text[range])
                    if preTokenizer.addsPrefixSpace, piece[0] != 0x20 { piece.insert(0x20, at: 0) }
                    piece.withUnsafeBytes { bytes in preTokenizer.split(bytes) { result.append(Array(bytes[$0])) } }
                }
            }
        }
        repaired.withUnsafeBytes { bytes in
            rawFinder.split(bytes, skipsSpecial: specialTokens == .asText) { part in
                switch part {
                case .token(let token): result.append(contents[token]?.bytes ?? [])
                case .text(let range):
                    let raw = UnsafeRawBufferPointer(rebasing: bytes[range])
                    (normalizer.normal(raw) ?? Array(raw)).withUnsafeBytes(words)
                }
            }
        }
        return result
    }
}
