import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

@Suite struct TokenizerTests {
    let folder = TemporaryFolder()

    @Test func bytesAreTokens() throws {
        let tokenizer = try ByteTokenizer(endOfDocument: true)
        #expect(tokenizer.vocabularySize == 257)
        #expect(tokenizer.encode("aé") == [97, 0xc3, 0xa9])
        #expect(tokenizer.decode([97, 0xc3, 0xa9, 256, 98]) == "aéb")
        #expect(tokenizer.decode([0xff, 97, 0xc3]) == "\u{fffd}a\u{fffd}")
        #expect(tokenizer.decode([-1, 999]) == "")
        #expect(tokenizer.encode([0xff, 0x00]) == [255, 0])
        #expect(try ByteTokenizer().endOfDocument == nil)
        #expect(try ByteTokenizer(vocabularySize: 320).vocabularySize == 320)
        #expect(throws: FormatError.self) { try ByteTokenizer(endOfDocument: true, vocabularySize: 256) }
    }

    @Test func identityFollowsTheConfiguration() throws {
        let plain = try ByteTokenizer()
        #expect(try plain.identity == ByteTokenizer(vocabularySize: 256).identity)
        #expect(try plain.identity != ByteTokenizer(vocabularySize: 257).identity)
        #expect(try ByteTokenizer(vocabularySize: 257).identity != ByteTokenizer(endOfDocument: true).identity)
    }

    @Test func savedTokenizerComesBack() throws {
        for tokenizer in try [ByteTokenizer(), ByteTokenizer(endOfDocument: true, vocabularySize: 320)] {
            try TokenizerFile.save(tokenizer, in: folder.root)
            let loaded = try TokenizerFile.load(from: folder.root)
            #expect(loaded.identity == tokenizer.identity && loaded.endOfDocument == tokenizer.endOfDocument)
        }
        for text in [
            "", "[]", "{}", "{\"format\":\"gdn-tokenizer\",\"version\":2}",
            "{\"format\":\"gdn-tokenizer\",\"version\":1,\"type\":\"word\"}",
            "{\"format\":\"gdn-tokenizer\",\"version\":1,\"type\":\"byte\"}",
            "{\"format\":\"gdn-tokenizer\",\"version\":1,\"type\":\"byte\",\"vocabulary_size\":1}",
            "{\"format\":\"gdn-tokenizer\",\"version\":1,\"type\":\"byte\",\"vocabulary_size\":300,\"end_of_document\":7}",
        ] {
            try folder.write(TokenizerFile.name, text)
            let error = #expect(throws: FormatError.self) { try TokenizerFile.load(from: folder.root) }
            #expect(error?.file == folder.path(TokenizerFile.name), "\(text)")
        }
        #expect(throws: FormatError.self) { try TokenizerFile.load(from: folder.path("absent")) }
    }

    /// Whatever the bytes, the streamed pieces are the decoded whole, and no piece ends inside a character.
    @Test func streamedTextIsTheDecodedText() throws {
        let tokenizer = try ByteTokenizer(endOfDocument: true)
        var random = Random(seed: 3)
        let interesting: [UInt8] = [
            0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xc3, 0xa9, 0xdf, 0xe0, 0xa0, 0x9f, 0xed, 0xe2, 0x82, 0xac, 0xf0, 0x9f,
            0x98, 0x80, 0xf4, 0x8f, 0x90, 0xf5, 0xff,
        ]
        for _ in 0..<20_000 {
            let bytes = (0..<random.index(below: 12)).map { _ in interesting[random.index(below: interesting.count)] }
            var decoder = StreamingDecoder(tokenizer)
            var text = ""
            for byte in bytes { text += decoder.append(Int32(byte)) }
            text += decoder.finish()
            #expect(Array(text.utf8) == Array(tokenizer.decode(bytes.map { Int32($0) }).utf8), "\(bytes)")
        }
        var decoder = StreamingDecoder(tokenizer)
        #expect("é😀x".utf8.map { decoder.append(Int32($0)) } == ["", "é", "", "", "", "😀", "x"])
        #expect(decoder.append(256) == "" && decoder.append(0xf0) == "" && decoder.finish() == "\u{fffd}")
        #expect(decoder.finish() == "")
    }

    @Test func repairIsTheStandardLibrarys() {
        var random = Random(seed: 4)
        for _ in 0..<20_000 {
            let bytes = (0..<random.index(below: 20)).map { _ -> UInt8 in
                random.index(below: 2) == 0 ? 0x61 : UInt8(0x80 + random.index(below: 128))
            }
            let repaired = bytes.withUnsafeBytes { UTF8Sequence.repaired($0) }
            #expect(repaired.bytes == Array(String(decoding: bytes, as: UTF8.self).utf8), "\(bytes)")
            let isValid = String(validating: bytes, as: UTF8.self) != nil
            #expect(bytes.withUnsafeBytes { UTF8Scan.firstInvalid($0) == nil } == isValid, "\(bytes)")
            #expect((repaired.replacements == 0) == isValid)
        }
    }
}
