import GDNFormats
import GDNTensor
import GDNTokenizers

/// Documents of one unit in their order, between reading and tokenising. One thread at a time has it.
final class TextChunk: @unchecked Sendable {
    struct Document: Sendable {
        var bytes: Range<Int>
        var isFile: Bool
    }

    /// The documents' text, one behind the other.
    private(set) var text: [UInt8] = []
    private(set) var documents: [Document] = []

    /// Appends a document.
    /// - Parameter expected: bytes that the chunk will have, if it is to have more
    func append(_ document: DocumentReader.Document, expecting expected: Int) {
        // Growing step by step would copy the text once more and touch new pages each time.
        if documents.isEmpty { text.reserveCapacity(max(expected, document.bytes.count)) }
        documents.append(Document(bytes: text.count..<text.count + document.bytes.count, isFile: document.isFile))
        text += document.bytes
    }

    /// Forgets its documents and keeps its memory.
    func clear() {
        text.removeAll(keepingCapacity: true)
        documents.removeAll(keepingCapacity: true)
    }

    /// Bytes of memory for text.
    var capacity: Int { text.capacity }
}

/// The same documents, divided and tokenised. One thread at a time has it.
final class TokenChunk: @unchecked Sendable {
    fileprivate(set) var training: PackedDocuments
    fileprivate(set) var heldOut: PackedDocuments
    /// Documents of the text chunk.
    fileprivate(set) var documents = 0
    /// Bytes of the text chunk.
    fileprivate(set) var textBytes = 0

    fileprivate init(width: Int) {
        (training, heldOut) = (PackedDocuments(width: width), PackedDocuments(width: width))
    }

    /// Begins with the documents of a text chunk; keeps the memory that there is.
    fileprivate func begin(_ chunk: TextChunk) {
        training.clear()
        heldOut.clear()
        (documents, textBytes) = (chunk.documents.count, chunk.text.count)
    }
}

/// Divides documents into training and held-out text and tokenises both. Used by many threads at once.
struct DocumentEncoder: Sendable {
    let tokenizer: any Tokenizer
    let settings: DataPreparation.Settings
    private let width: Int
    /// Arrays that threads put tokens into, to be used again: growing a new one for each chunk costs as much as writing it.
    private let idle = ScratchPool<[Int32]>()

    init(tokenizer: any Tokenizer, settings: DataPreparation.Settings) {
        self.tokenizer = tokenizer
        self.settings = settings
        width = tokenizer.vocabularySize <= 1 << 16 ? 2 : 4
    }

    /// Which part of a document goes where.
    enum Side {
        case training, heldOut, divided
    }

    /// - Parameter used: a chunk that nobody needs any more, whose memory is used again
    /// - Throws: `DataError` when the tokenizer gives tokens outside its vocabulary.
    func encode(_ chunk: TextChunk, _ side: Side, reusing used: TokenChunk?) throws -> TokenChunk {
        let result = used ?? TokenChunk(width: width)
        result.begin(chunk)
        // Text of most languages has three bytes a token or more.
        if side == .heldOut {
            result.heldOut.reserve(chunk.text.count / 3)
        } else {
            result.training.reserve(chunk.text.count / 3)
        }
        var tokens = idle.take() ?? []
        defer { idle.give(tokens) }
        try chunk.text.withUnsafeBytes { text in
            for document in chunk.documents {
                let bytes = UnsafeRawBufferPointer(rebasing: text[document.bytes])
                let cut =
                    switch side {
                    case .training: bytes.count
                    case .heldOut: 0
                    case .divided: cut(bytes, isFile: document.isFile)
                    }
                try append(bytes[..<cut], to: &result.training, &tokens)
                try append(bytes[cut...], to: &result.heldOut, &tokens)
            }
        }
        result.training.seal()
        result.heldOut.seal()
        return result
    }

    private func append(
        _ text: Slice<UnsafeRawBufferPointer>, to documents: inout PackedDocuments, _ tokens: inout [Int32]
    ) throws {
        guard !text.isEmpty else { return }
        tokens.removeAll(keepingCapacity: true)
        if let begin = tokenizer.beginOfDocument { tokens.append(begin) }
        tokenizer.encode(UnsafeRawBufferPointer(rebasing: text), into: &tokens)
        if let end = tokenizer.endOfDocument { tokens.append(end) }
        guard documents.append(tokens[...], vocabularySize: tokenizer.vocabularySize, textBytes: text.count) else {
            throw DataError(
                "tokenizer", "gave a token outside its vocabulary of \(tokenizer.vocabularySize)",
                advice: "the tokenizer does not fit its vocabulary")
        }
    }

    /// Where the held-out part of a document begins: at its end, at its beginning, or between.
    private func cut(_ bytes: UnsafeRawBufferPointer, isFile: Bool) -> Int {
        let byTail = settings.split == .tail || settings.split == .automatic && isFile
        guard byTail else { return isHeldOut(bytes) ? 0 : bytes.count }
        let target = Int(Double(bytes.count) * (1 - settings.validationShare))
        if let end = bytes[target...].firstIndex(of: UInt8(ascii: "\n")), end + 1 < bytes.count { return end + 1 }
        var cut = target
        while cut > 0, bytes[cut] & 0xc0 == 0x80 { cut -= 1 }
        return cut
    }

    private func isHeldOut(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var sum = CRC32C()
        sum.update(bytes)
        var random = Random(seed: UInt64(sum.value) << 32 ^ UInt64(bytes.count))
        return random.uniform() < settings.validationShare
    }
}
