import GDNFormats

extension SentencePieceModel {
    /// The model as a `.model` file.
    package var fileContent: [UInt8] {
        var file = ProtocolBuffer()
        for piece in pieces {
            file.message(1) { message in
                message.bytes(1, piece.text)
                message.float(2, piece.score)
                if piece.type != .normal { message.integer(3, piece.type.rawValue) }
            }
        }
        file.message(2) { trainer in
            trainer.integer(3, kind.rawValue)
            trainer.integer(4, pieces.count)
            trainer.integer(24, whitespaceIsSuffix ? 1 : 0)
            trainer.integer(35, hasByteFallback ? 1 : 0)
            trainer.bytes(44, unknownText)
            trainer.bytes(46, beginName)
            trainer.bytes(47, endName)
            trainer.bytes(48, paddingName)
        }
        file.message(3) { rules in
            rules.bytes(1, normalization.name)
            rules.bytes(2, normalization.characterMap)
            rules.integer(3, normalization.addsDummyPrefix ? 1 : 0)
            rules.integer(4, normalization.removesExtraWhitespace ? 1 : 0)
            rules.integer(5, normalization.escapesWhitespace ? 1 : 0)
        }
        return file.bytes
    }
}
