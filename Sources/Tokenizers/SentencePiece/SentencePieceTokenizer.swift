import GDNFormats
import GDNTensor

/// A tokenizer read from a SentencePiece `.model` file (BPE, with byte fallback or without, or unigram).
///
/// Tokens and decoded texts are those of the SentencePiece library. Text that is no valid UTF-8 becomes U+FFFD before
/// it is cut, one for each byte, as there.
public final class SentencePieceTokenizer: Tokenizer, @unchecked Sendable {
    /// The name the file has inside a model folder.
    public static let fileName = "tokenizer.model"

    /// The file itself.
    public let files: [TokenizerSource]
    /// All that decides what tokens mean: the checksum of the file.
    public let configuration: JSONObject
    /// The control pieces; in a text they are found when asked for, and the text between them is cut by itself.
    public let addedTokens: [AddedToken]
    /// Number of pieces.
    public let vocabularySize: Int
    /// The control piece that begins a document (`<s>` unless the model names another).
    public let beginOfDocument: Int32?
    /// The control piece that ends a document (`</s>` unless the model names another).
    public let endOfDocument: Int32?
    /// The control piece that fills up rows (`<pad>` unless the model names another).
    public let padding: Int32?
    /// The piece before a document, if there is one.
    public var frame: TokenFrame { TokenFrame(prefix: beginOfDocument.map { [$0] } ?? []) }
    /// Each byte that is no valid UTF-8 is decoded to a U+FFFD of its own.
    public var replacesEachByte: Bool { true }

    private enum Encoder {
        case merging(SentencePieceMerging)
        case unigram(SentencePieceUnigram)
    }

    /// Working memory of one thread.
    private final class Scratch {
        var text = ByteBuffer()
        var tokens = TokenBuffer()
        var merging = SentencePieceMerging.Scratch()
        var steps: [SentencePieceUnigram.Step] = []
    }

    private let model: SentencePieceModel
    private let normalizer: SentencePieceNormalizer
    private let encoder: Encoder
    private let finder: AddedTokenFinder
    private let decoded: [[UInt8]]
    private let tokensByText: [[UInt8]: Int32]
    private let idle = ScratchPool<Scratch>()

    /// Reads a `.model` file.
    /// - Throws: `FormatError` when it is missing, damaged, or of a kind unknown here (word, char).
    public convenience init(contentsOf path: String) throws {
        let file = try MappedFile(path)
        try self.init(file.read(0..<file.bytes.count) { Array($0) }, file: path)
    }

    /// Reads the content of a `.model` file.
    /// - Parameters:
    ///   - content: the file's bytes
    ///   - file: its name, for errors
    /// - Throws: `FormatError` as for a file.
    package init(_ content: [UInt8], file: String) throws {
        let model = try content.withUnsafeBytes { try SentencePieceModel($0, file: file) }
        self.model = model
        vocabularySize = model.pieces.count
        files = [TokenizerSource(name: Self.fileName, bytes: content)]
        configuration = [
            "format": "gdn-tokenizer", "version": 1, "type": "sentencepiece",
            "vocabulary_size": .integer(vocabularySize), "file": .string(Self.fileName),
            "sha256": .string(SHA256.digest(content)),
        ]
        addedTokens = model.pieces.enumerated().filter { $1.type == .control }.map {
            AddedToken(Int32($0), String(decoding: $1.text, as: UTF8.self), isSpecial: true)
        }
        finder = AddedTokenFinder(addedTokens.map { ($0, Array($0.content.utf8)) })
        let tokens = Dictionary(
            model.pieces.enumerated().map { ($1.text, Int32($0)) },
            uniquingKeysWith: { model.pieces[Int($0)].type.isReserved ? $0 : $1 })
        tokensByText = tokens
        let control = { (name: [UInt8]) in tokens[name].flatMap { model.pieces[Int($0)].type == .control ? $0 : nil } }
        beginOfDocument = control(model.beginName)
        endOfDocument = control(model.endName)
        padding = control(model.paddingName)
        let unknown = Int32(model.pieces.firstIndex { $0.type == .unknown } ?? 0)
        let bytes =
            model.hasByteFallback
            ? (0...255).map { tokens[SentencePieceModel.piece(ofByte: UInt8($0))] ?? unknown } : []
        let defined = model.pieces.enumerated().filter { $1.type == .userDefined }.map { ($1.text, Int32($0)) }
        let trie = defined.isEmpty ? nil : ByteTrie(defined)
        normalizer = try SentencePieceNormalizer(model, userDefined: trie, file: file)
        encoder =
            switch model.kind {
            case .pairs:
                .merging(SentencePieceMerging(model, userDefined: trie, unknown: unknown, byteTokens: bytes))
            case .unigram: .unigram(SentencePieceUnigram(model, unknown: unknown, byteTokens: bytes))
            }
        decoded = model.pieces.map { Self.text(of: $0, model) }
    }

    /// Appends the tokens of a text.
    public func encode(_ bytes: UnsafeRawBufferPointer, into tokens: inout [Int32]) {
        let scratch = idle.take() ?? Scratch()
        normalizer.normalize(bytes, into: &scratch.text)
        scratch.tokens.removeAll()
        switch encoder {
        case .merging(let merging): merging.encode(scratch.text, &scratch.merging, into: &scratch.tokens)
        case .unigram(let unigram): unigram.encode(scratch.text, &scratch.steps, into: &scratch.tokens)
        }
        tokens.append(contentsOf: scratch.tokens.tokens)
        idle.give(scratch)
    }

    /// Appends the tokens of a text that may hold control pieces; each part between them is a text of its own.
    public func encode(
        _ bytes: UnsafeRawBufferPointer, specialTokens: SpecialTokenHandling, into tokens: inout [Int32]
    ) {
        guard specialTokens == .recognised else { return encode(bytes, into: &tokens) }
        finder.split(bytes, skipsSpecial: false) { part in
            switch part {
            case .text(let range): encode(UnsafeRawBufferPointer(rebasing: bytes[range]), into: &tokens)
            case .token(let token): tokens.append(token)
            }
        }
    }

    /// The text of a piece, or the byte of a byte piece; nothing for control pieces.
    public func bytes(of token: Int32) -> [UInt8] {
        decoded.indices.contains(Int(token)) ? decoded[Int(token)] : []
    }

    /// Appends what a token adds to a text: at its beginning, without the dummy space.
    public func append(_ token: Int32, to bytes: inout [UInt8], atStart: inout Bool) {
        guard decoded.indices.contains(Int(token)) else { return }
        let (piece, text) = (model.pieces[Int(token)], decoded[Int(token)])
        let rules = model.normalization
        let dropsSpace =
            atStart && (rules.addsDummyPrefix || rules.removesExtraWhitespace)
            && ![.unknown, .control, .byte].contains(piece.type) && piece.text.starts(with: SentencePieceModel.space)
        bytes += dropsSpace ? text[1...] : text[...]
        if text.count > (dropsSpace ? 1 : 0) || dropsSpace && !rules.removesExtraWhitespace { atStart = false }
    }

    /// The text of a piece as the model has it, U+2581 and `<0x0A>` included; nil for a token that is not there.
    public func piece(of token: Int32) -> String? {
        model.pieces.indices.contains(Int(token)) ? String(decoding: model.pieces[Int(token)].text, as: UTF8.self) : nil
    }

    /// The token of a piece written as the model has it; nil when there is none.
    public func token(ofPiece piece: String) -> Int32? { tokensByText[Array(piece.utf8)] }

    private static func text(of piece: SentencePieceModel.Piece, _ model: SentencePieceModel) -> [UInt8] {
        switch piece.type {
        case .control: return []
        case .unknown: return model.unknownText
        case .byte: return SentencePieceModel.byte(of: piece.text).map { [$0] } ?? []
        case .normal, .userDefined, .unused: break
        }
        var (text, index): ([UInt8], Int) = ([], 0)
        while index < piece.text.count {
            if piece.text[index...].starts(with: SentencePieceModel.space) {
                text.append(0x20)
                index += SentencePieceModel.space.count
            } else {
                text.append(piece.text[index])
                index += 1
            }
        }
        return text
    }
}

extension SentencePieceModel.PieceType {
    /// Whether pieces of this type never come from text.
    var isReserved: Bool { self == .unknown || self == .control || self == .byte }
}
