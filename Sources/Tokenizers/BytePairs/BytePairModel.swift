/// Vocabulary and merges of a byte-pair encoding, of bytes or of characters.
struct BytePairModel: Sendable {
    /// Tokens by their bytes.
    var vocabulary: ByteStringTable
    /// Which tokens merge.
    let merges: PairTable
    /// The token of each byte; -1 for bytes that have none and vanish.
    var byteTokens: [Int32]
    /// Whether a word that is a token becomes it without regard to merges.
    var keepsWholeWords = false
    /// What a vocabulary of characters needs; nil for one of bytes.
    var characters: CharacterPieces?
    /// The token of bytes that have none, whose repetitions in a row may count once.
    var unknown: (token: Int32, fuses: Bool)?

    /// A model; the tokens of single bytes are looked up in the vocabulary.
    init(vocabulary: ByteStringTable, merges: PairTable) {
        self.vocabulary = vocabulary
        self.merges = merges
        byteTokens = (0..<256).map { byte in
            withUnsafeBytes(of: UInt8(byte)) { vocabulary.token(of: $0) ?? -1 }
        }
    }
}
