import GDNFormats

/// The content of a SentencePiece `.model` file: pieces, and how text becomes them.
///
/// The file is a protocol buffer (`sentencepiece_model.proto` of the SentencePiece project); fields that decide nothing
/// about encoding and decoding are passed over.
package struct SentencePieceModel: Sendable {
    /// How text is cut into pieces (`trainer_spec.model_type`).
    package enum Kind: Int, Sendable {
        /// The most probable pieces.
        case unigram = 1
        /// Merging of neighbours, best score first.
        case pairs = 2
    }

    /// What a piece is for.
    package enum PieceType: Int, Sendable {
        /// Text.
        case normal = 1
        /// What no piece can say.
        case unknown = 2
        /// No text, e.g. the beginning of a document.
        case control = 3
        /// Text that is never taken apart.
        case userDefined = 4
        /// Text that is taken apart again.
        case unused = 5
        /// One byte of a character that no piece can say.
        case byte = 6
    }

    /// One piece.
    package struct Piece: Sendable {
        /// Its UTF-8, with U+2581 in place of spaces.
        package var text: [UInt8]
        /// Log-probability, or minus the number of the merge.
        package var score: Float
        /// What it is for.
        package var type: PieceType

        /// A piece.
        package init(text: [UInt8], score: Float, type: PieceType) {
            (self.text, self.score, self.type) = (text, score, type)
        }
    }

    /// How text is made uniform before it is cut (`normalizer_spec`).
    package struct Normalization: Sendable {
        /// The rules' name, for people only.
        package var name: [UInt8] = []
        /// Rules for characters as a double array and their replacements; empty for none.
        package var characterMap: [UInt8] = []
        /// A space is put before the text (behind it if `whitespaceIsSuffix`).
        package var addsDummyPrefix = true
        /// Spaces at both ends vanish, runs of them become one.
        package var removesExtraWhitespace = true
        /// Spaces become U+2581.
        package var escapesWhitespace = true
    }

    /// How text is cut.
    package var kind = Kind.unigram
    /// The pieces by token.
    package var pieces: [Piece] = []
    /// Before it is cut.
    package var normalization = Normalization()
    /// Characters without a piece become bytes.
    package var hasByteFallback = false
    /// The dummy space goes behind the text.
    package var whitespaceIsSuffix = false
    /// What an unknown piece is decoded to.
    package var unknownText: [UInt8] = Array(" \u{2047} ".utf8)
    /// The names of the pieces before and behind a document and of the filling.
    package var (beginName, endName, paddingName) = (Array("<s>".utf8), Array("</s>".utf8), Array("<pad>".utf8))

    /// A model without pieces.
    package init(kind: Kind) { self.kind = kind }

    /// Reads a model.
    /// - Parameters:
    ///   - bytes: the file's content
    ///   - file: its name, for errors
    /// - Throws: `FormatError` when it is no such file, or of a kind unknown here.
    package init(_ bytes: UnsafeRawBufferPointer, file: String) throws {
        var reader = ProtocolBufferReader(bytes, file: file)
        while let field = try reader.next() {
            guard 1...5 ~= field.number else { continue }
            guard let range = field.value.range else { throw reader.refuse("field \(field.number) is no message") }
            var inner = ProtocolBufferReader(bytes, in: range, file: file)
            switch field.number {
            case 1: try readPiece(&inner, bytes)
            case 2: try readTrainer(&inner, bytes)
            case 3: try readNormalization(&inner, bytes)
            case 5: try refuseDenormalization(&inner)
            default: break
            }
        }
        try validate(file)
    }

    private mutating func readPiece(_ reader: inout ProtocolBufferReader, _ bytes: UnsafeRawBufferPointer) throws {
        var piece = Piece(text: [], score: 0, type: .normal)
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): piece.text = Array(bytes[range])
            case (2, .fourBytes(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .variable):
                guard let type = field.value.integer.flatMap(PieceType.init(rawValue:)) else {
                    throw reader.refuse("piece \(pieces.count) has a type that is not 1 to 6")
                }
                piece.type = type
            case (1...3, _): throw reader.refuse("piece \(pieces.count): field \(field.number) has another type")
            default: break
            }
        }
        pieces.append(piece)
    }

    private mutating func readTrainer(_ reader: inout ProtocolBufferReader, _ bytes: UnsafeRawBufferPointer) throws {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (3, .variable):
                guard let kind = field.value.integer.flatMap(Kind.init(rawValue:)) else {
                    throw reader.refuse("the model type is neither unigram (1) nor BPE (2)")
                }
                self.kind = kind
            case (24, .variable(let value)): whitespaceIsSuffix = value != 0
            case (35, .variable(let value)): hasByteFallback = value != 0
            case (44, .bytes(let range)): unknownText = Array(bytes[range])
            case (46, .bytes(let range)): beginName = Array(bytes[range])
            case (47, .bytes(let range)): endName = Array(bytes[range])
            case (48, .bytes(let range)): paddingName = Array(bytes[range])
            default: break
            }
        }
    }

    private mutating func readNormalization(
        _ reader: inout ProtocolBufferReader, _ bytes: UnsafeRawBufferPointer
    ) throws {
        while let field = try reader.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let range)): normalization.name = Array(bytes[range])
            case (2, .bytes(let range)): normalization.characterMap = Array(bytes[range])
            case (3, .variable(let value)): normalization.addsDummyPrefix = value != 0
            case (4, .variable(let value)): normalization.removesExtraWhitespace = value != 0
            case (5, .variable(let value)): normalization.escapesWhitespace = value != 0
            default: break
            }
        }
    }

    private func refuseDenormalization(_ reader: inout ProtocolBufferReader) throws {
        while let field = try reader.next() {
            if field.number == 2, let range = field.value.range, !range.isEmpty {
                throw reader.refuse("rules for characters after decoding are not supported")
            }
        }
    }
}

extension SentencePieceModel {
    /// Spaces inside pieces: U+2581.
    static let space: [UInt8] = [0xe2, 0x96, 0x81]

    /// The piece `<0x41>` is byte 0x41.
    static func byte(of piece: [UInt8]) -> UInt8? {
        guard piece.count == 6, piece.starts(with: "<0x".utf8), piece[5] == UInt8(ascii: ">") else { return nil }
        let digits = piece[3...4].map { digit -> UInt8? in
            switch digit {
            case 0x30...0x39: digit - 0x30
            case 0x41...0x46: digit - 0x41 + 10
            default: nil
            }
        }
        guard let high = digits[0], let low = digits[1] else { return nil }
        return high << 4 | low
    }

    /// The piece of a byte.
    static func piece(ofByte byte: UInt8) -> [UInt8] {
        let digits = Array("0123456789ABCDEF".utf8)
        return Array("<0x".utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)], UInt8(ascii: ">")]
    }

    /// The rules that SentencePiece itself holds a model to.
    private func validate(_ file: String) throws {
        let refuse = { (token: Int?, rule: String) in
            FormatError(
                file: file, part: token.map { "piece \($0)" }, rule: rule,
                advice: "take the file again from where it came from")
        }
        guard pieces.count < Int(Int32.max) else { throw refuse(nil, "has \(pieces.count) pieces") }
        var (texts, reserved) = (Set<[UInt8]>(minimumCapacity: pieces.count), Set<[UInt8]>())
        var (unknown, bytes) = (0, 0)
        for (token, piece) in pieces.enumerated() {
            guard !piece.text.isEmpty else { throw refuse(token, "a piece must not be empty") }
            guard piece.score.isFinite else { throw refuse(token, "the score must be finite") }
            let isNew: Bool
            switch piece.type {
            case .normal, .userDefined, .unused: isNew = texts.insert(piece.text).inserted
            case .unknown, .control, .byte: isNew = reserved.insert(piece.text).inserted
            }
            guard isNew else { throw refuse(token, "another piece is the same") }
            if piece.type == .unknown { unknown += 1 }
            if piece.type == .byte {
                guard hasByteFallback else { throw refuse(token, "a byte piece in a model without byte fallback") }
                guard Self.byte(of: piece.text) != nil else {
                    throw refuse(token, "a byte piece must be <0x00> to <0xFF>")
                }
                bytes += 1
            }
        }
        guard unknown == 1 else { throw refuse(nil, "must have one unknown piece, it has \(unknown)") }
        guard bytes == (hasByteFallback ? 256 : 0) else {
            throw refuse(nil, "must have 256 byte pieces for byte fallback, it has \(bytes)")
        }
        guard !texts.isEmpty else { throw refuse(nil, "has no pieces of text") }
    }
}
