import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// Damaged models are refused or harmless: typed errors, no crash, no hang.
@Suite struct SentencePieceFuzzTests {
    private func load(_ content: [UInt8]) -> SentencePieceTokenizer? {
        do {
            return try SentencePieceTokenizer(content, file: "damaged")
        } catch let error as FormatError {
            #expect(error.file == "damaged")
        } catch {
            Issue.record("an error of another type: \(error)")
        }
        return nil
    }

    private static func template() throws -> SentencePieceModel.Piece {
        let path = TemporaryFolder.fixture("golden/tokenizers/spm_bpe.model")
        return try TemporaryFolder.read(path).withUnsafeBytes { try SentencePieceModel($0, file: path).pieces[0] }
    }

    private static func piece(
        _ text: String, _ type: SentencePieceModel.PieceType, _ template: SentencePieceModel.Piece
    ) -> SentencePieceModel.Piece {
        var piece = template
        (piece.text, piece.score, piece.type) = (Array(text.utf8), 0, type)
        return piece
    }

    private func use(_ tokenizer: SentencePieceTokenizer) {
        for text in ["the and ▁ 漢 ﬁ e\u{301} <mask>...", " \u{3000}\t", String(repeating: "ab ", count: 50)] {
            _ = tokenizer.decode(tokenizer.encode(text))
        }
        _ = tokenizer.encode([0xff, 0x00, 0xe2, 0x96, 0x81, 0xf0, 0x9f])
    }

    @Test func everyShortenedModelIsRefused() throws {
        let content = try TemporaryFolder.read(TemporaryFolder.fixture("golden/tokenizers/spm_bpe.model"))
        for length in 0..<content.count where length < 600 || length % 7 == 0 || length > content.count - 200 {
            if let tokenizer = load(Array(content[..<length])) { use(tokenizer) }
        }
        #expect(load([]) == nil && load(Array(content[..<(content.count / 2)])) == nil)
    }

    @Test(arguments: ["unigram_rules", "unigram_defined", "bpe_rules", "bpe_defined"])
    func flippedBits(_ name: String) throws {
        let content = try TemporaryFolder.read(TemporaryFolder.fixture("sentencepiece/\(name).model"))
        var (random, accepted) = (Random(seed: 21), 0)
        for _ in 0..<400 {
            var damaged = content
            for _ in 0...random.index(below: 3) {
                damaged[random.index(below: damaged.count)] ^= 1 << UInt8(random.index(below: 8))
            }
            if let tokenizer = load(damaged) {
                use(tokenizer)
                accepted += 1
            }
        }
        #expect(accepted > 0 && accepted < 400)
    }

    @Test func hostileFields() throws {
        let content = try TemporaryFolder.read(TemporaryFolder.fixture("golden/tokenizers/spm_bpe.model"))
        let hostile: [[UInt8]] = [
            [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],  // 2^64 - 1 bytes
            [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],  // more than 64 bits
            [0x0b], [0x0c], [0x0f], [0x00], [0x0d, 1, 2], [0x09, 1],  // groups, unknown types, field 0, cut numbers
            [0x0a, 2, 0x0a, 5],  // a text that reaches over its message
            [0x0a, 2, 0x18, 9],  // an unknown type of piece
            [0x0a, 0], [0x12, 2, 0x18, 3],  // an empty piece, a word model
            [0x0a, 5, 0x15, 0, 0, 0xc0, 0x7f],  // a score that is no number
        ]
        for fields in hostile { #expect(load(content + fields) == nil, "\(fields)") }
        #expect(load(content + [0x98, 0x06, 1]) != nil, "unknown fields are passed over")
    }

    @Test func brokenRules() throws {
        func load(_ change: (inout SentencePieceModel) -> Void) throws -> SentencePieceTokenizer {
            var model = SentencePieceModel(kind: .pairs)
            let template = try Self.template()
            model.pieces = [
                Self.piece("<unk>", .unknown, template), Self.piece("a", .normal, template),
                Self.piece("▁", .normal, template),
            ]
            change(&model)
            return try SentencePieceTokenizer(model.fileContent, file: "model")
        }
        #expect(try load { _ in }.encode("aa b") == [2, 1, 1, 2, 0])
        let changes: [(inout SentencePieceModel) -> Void] = [
            { $0.pieces.removeFirst() }, { $0.pieces[1].text = Array("▁".utf8) }, { $0.pieces[1].type = .unknown },
            { $0.hasByteFallback = true }, { $0.pieces[1].type = .byte }, { $0.pieces = [$0.pieces[0]] },
            { $0.normalization.characterMap = [1, 2] },
            { $0.normalization.characterMap = [8, 0, 0, 0, 0, 0, 0, 0, 1] },
            { $0.normalization.characterMap = [4, 0, 0, 0, 0, 0, 0, 0, 65] },
        ]
        for (index, change) in changes.enumerated() {
            #expect(throws: FormatError.self, "\(index)") { try load(change) }
        }
        #expect(throws: FormatError.self) { try SentencePieceTokenizer(contentsOf: "/absent.model") }
    }

    /// A piece of many bytes must not cost their square.
    @Test func hugePiece() throws {
        var model = SentencePieceModel(kind: .pairs)
        let long = [UInt8](repeating: 0x61, count: 2_000_000)
        let template = try Self.template()
        model.pieces = [Self.piece("<unk>", .unknown, template), Self.piece("a", .normal, template)]
        model.pieces[1].text = long
        for kind in [SentencePieceModel.Kind.pairs, .unigram] {
            model.kind = kind
            #expect(try SentencePieceTokenizer(model.fileContent, file: "").encode("aa") == [0])
        }
    }

    /// Random bytes as text.
    @Test(arguments: SentencePieceTests.names) func randomBytes(_ name: String) throws {
        let tokenizer = try SentencePieceTests.fixture(name)
        var random = Random(seed: 33)
        for _ in 0..<500 {
            let bytes = (0..<random.index(below: 60)).map { _ -> UInt8 in
                [0x20, 0xe2, 0x96, 0x81, 0x61, UInt8(random.index(below: 256))][random.index(below: 6)]
            }
            let tokens = tokenizer.encode(bytes)
            #expect(tokens.allSatisfy { 0..<Int32(tokenizer.vocabularySize) ~= $0 })
            #expect(bytes.isEmpty || tokens == tokenizer.encode(bytes), "the same twice")
            _ = tokenizer.decode(tokens)
        }
    }
}
