import GDNFormats

/// Turns text into tokens and back.
///
/// Text is bytes here: UTF-8 as far as it is valid, anything else is not lost. Encoding adds no special tokens;
/// whoever makes documents or prompts does.
public protocol Tokenizer: Sendable {
    /// Tokens are 0 ..< vocabularySize; a model may know more for the sake of round numbers.
    var vocabularySize: Int { get }
    /// The token before a document, if there is one.
    var beginOfDocument: Int32? { get }
    /// The token behind a document, if there is one; generation ends with it.
    var endOfDocument: Int32? { get }
    /// The token that fills up rows, if there is one.
    var padding: Int32? { get }
    /// All that decides what tokens mean, as the content of `gdn_tokenizer.json`.
    var configuration: JSONObject { get }

    /// Tokens found in a text as they stand; the special ones among them only when asked for.
    var addedTokens: [AddedToken] { get }
    /// Tokens around a text that a model expects.
    var frame: TokenFrame { get }
    /// What to put beside a model so that `TokenizerFile.load` gives this tokenizer again.
    var files: [TokenizerSource] { get }

    /// Appends the tokens of a text. Special tokens in it are text like any other, so that no document can end itself.
    func encode(_ bytes: UnsafeRawBufferPointer, into tokens: inout [Int32])

    /// Appends the tokens of a text that may hold special tokens, as prompts and chats do.
    func encode(_ bytes: UnsafeRawBufferPointer, specialTokens: SpecialTokenHandling, into tokens: inout [Int32])

    /// The first place from `index` on where a text may be cut so that its parts have the tokens of the whole.
    /// - Returns: a place inside the text, or nil when none is known.
    func cut(_ bytes: UnsafeRawBufferPointer, from index: Int) -> Int?

    /// The bytes a token stands for; none for special tokens and for tokens that are not there.
    func bytes(of token: Int32) -> [UInt8]

    /// Appends the bytes that a token adds to a text that is being decoded.
    /// - Parameters:
    ///   - token: the token
    ///   - bytes: the text so far
    ///   - atStart: whether the text has yet to begin; tokenizers that put a space before every text drop it then
    func append(_ token: Int32, to bytes: inout [UInt8], atStart: inout Bool)

    /// Whether decoding puts a U+FFFD for each byte that is no valid UTF-8, and not one for all bytes of a character
    /// that was begun well (as the Unicode standard recommends).
    var replacesEachByte: Bool { get }
}

/// What special tokens in a text become.
public enum SpecialTokenHandling: Sendable {
    /// The tokens of their letters.
    case asText
    /// What they stand for.
    case recognised
}

/// Tokens before and behind a text.
public struct TokenFrame: Sendable, Equatable {
    /// Before the text.
    public var prefix: [Int32] = []
    /// Behind it.
    public var suffix: [Int32] = []

    /// A frame of these tokens.
    public init(prefix: [Int32] = [], suffix: [Int32] = []) {
        (self.prefix, self.suffix) = (prefix, suffix)
    }
}

/// A file of a tokenizer.
public struct TokenizerSource: Sendable, Equatable {
    /// Its name in a model's folder.
    public var name: String
    /// Its bytes.
    public var bytes: [UInt8]

    /// A file of this name and content.
    public init(name: String, bytes: [UInt8]) {
        (self.name, self.bytes) = (name, bytes)
    }
}

extension Tokenizer {
    /// None.
    public var addedTokens: [AddedToken] { [] }

    /// Nothing.
    public var frame: TokenFrame { TokenFrame() }

    /// `gdn_tokenizer.json` with the configuration.
    public var files: [TokenizerSource] {
        let text = JSONValue.object(configuration).text(indented: true) + "\n"
        return [TokenizerSource(name: TokenizerFile.name, bytes: Array(text.utf8))]
    }

    /// For tokenizers without special tokens: the tokens of a text.
    public func encode(
        _ bytes: UnsafeRawBufferPointer, specialTokens: SpecialTokenHandling, into tokens: inout [Int32]
    ) {
        encode(bytes, into: &tokens)
    }

    /// None known.
    public func cut(_ bytes: UnsafeRawBufferPointer, from index: Int) -> Int? { nil }

    /// The tokens of a prompt: special tokens recognised, behind what the model expects before a text.
    public func encodePrompt(_ text: String) -> [Int32] {
        frame.prefix + encode(text, specialTokens: .recognised)
    }

    /// The tokens of a text that may hold special tokens.
    public func encode(_ text: String, specialTokens: SpecialTokenHandling) -> [Int32] {
        var (tokens, text) = ([Int32](), text)
        text.withUTF8 { encode(UnsafeRawBufferPointer($0), specialTokens: specialTokens, into: &tokens) }
        return tokens
    }

    /// The text of tokens, special ones as they are written; bytes that are no valid UTF-8 become U+FFFD.
    public func decodeWithSpecialTokens(_ tokens: some Sequence<Int32>) -> String {
        let special = Dictionary(
            addedTokens.filter(\.isSpecial).map { ($0.token, Array($0.content.utf8)) },
            uniquingKeysWith: { _, last in last })
        var (text, atStart): ([UInt8], Bool) = ([], true)
        for token in tokens {
            if let content = special[token] { text += content } else { append(token, to: &text, atStart: &atStart) }
        }
        return text.withUnsafeBytes {
            String(decoding: UTF8Sequence.repaired($0, eachByte: replacesEachByte).bytes, as: UTF8.self)
        }
    }

    /// The tokens of a text.
    public func encode(_ text: String) -> [Int32] {
        encode(Array(text.utf8))
    }

    /// The tokens of bytes, which need not be valid UTF-8.
    public func encode(_ bytes: [UInt8]) -> [Int32] {
        var tokens: [Int32] = []
        bytes.withUnsafeBytes { encode($0, into: &tokens) }
        return tokens
    }

    /// The text of tokens; bytes that are no valid UTF-8 become U+FFFD, special tokens vanish.
    public func decode(_ tokens: some Sequence<Int32>) -> String {
        var decoder = StreamingDecoder(self)
        var text = ""
        for token in tokens { text += decoder.append(token) }
        return text + decoder.finish()
    }

    /// Appends `bytes(of:)`, wherever in the text.
    public func append(_ token: Int32, to bytes: inout [UInt8], atStart: inout Bool) {
        let more = self.bytes(of: token)
        bytes += more
        if !more.isEmpty { atStart = false }
    }

    /// One U+FFFD for a character that was begun well.
    public var replacesEachByte: Bool { false }

    /// Tells tokenizers apart: SHA-256 of the configuration.
    public var identity: String { SHA256.digest(Array(JSONValue.object(configuration).text().utf8)) }
}
