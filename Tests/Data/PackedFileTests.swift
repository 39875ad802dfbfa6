import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct PackedFileTests {
    let folder = TemporaryFolder()

    /// Bytes written out by hand from the description of the format.
    @Test func everyIntegerTypeIsRead() throws {
        let files: [(UInt8, [UInt8], [Int32])] = [
            (1, [0, 7, 255], [0, 7, 255]), (2, [0, 7, 127], [0, 7, 127]),
            (3, [1, 0, 0xff, 0x7f], [1, 32_767]), (8, [1, 0, 0xff, 0xff], [1, 65_535]),
            (4, [2, 1, 0, 0, 0, 0, 1, 0], [258, 65_536]),
            (5, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], [258, 65_536]),
        ]
        for (type, body, tokens) in files {
            let path = try folder.packed(type, UInt64(tokens.count), body)
            let file = try PackedFile(path, vocabularySize: 100_000, verify: true)
            #expect(file.tokenCount == tokens.count && file.type.rawValue == type)
            #expect(try TokenStream(segments: [file]).tokens(0..<tokens.count) == tokens)
            #expect(PackedFile.isPacked(path))
        }
        #expect(try !PackedFile.isPacked(folder.write("text.txt", "LITPK")))
    }

    @Test func brokenRulesAreNamed() throws {
        let body: [UInt8] = [1, 0, 2, 0, 3, 0]
        for (path, rule) in [
            (try folder.packed(6, 1, [0, 0, 0, 0], name: "float"), "floating-point"),
            (try folder.packed(7, 0, [], name: "double"), "floating-point"),
            (try folder.packed(0, 3, body, name: "zero"), "type 0"),
            (try folder.packed(9, 3, body, name: "nine"), "type 9"),
            (try folder.packed(8, 3, body, version: 2, name: "version"), "version 2"),
            (try folder.packed(8, 4, body, name: "short"), "4 tokens of 2 bytes"),
            (try folder.packed(8, 2, body, name: "long"), "2 tokens of 2 bytes"),
            (try folder.packed(8, .max, body, name: "huge"), "tokens of 2 bytes"),
            (try folder.packed(5, 1 << 61 + 1, [UInt8](repeating: 0, count: 8), name: "wrap"), "tokens of 8 bytes"),
            (try folder.write("magic", Array("LITPKDX".utf8) + [UInt8](repeating: 0, count: 30)), "LITPKDS"),
            (try folder.write("tiny", Array("LITPKDS".utf8)), "at least 24 bytes"),
        ] {
            let error = #expect(throws: FormatError.self) { try PackedFile(path, vocabularySize: 10) }
            #expect(error?.rule.contains(rule) == true, "\(error?.description ?? "")")
        }
        #expect(throws: FormatError.self) { try PackedFile(folder.path("absent"), vocabularySize: 10) }
    }

    @Test func tokensOutsideTheVocabularyAreRefusedWhereTheyAreUsed() throws {
        for (type, body) in [
            (UInt8(8), [1, 0, 9, 0, 10, 0, 3, 0]), (2, [1, 9, 0xff, 3]),
            (5, [UInt8](repeating: 0, count: 23) + [0x80] + [UInt8](repeating: 0, count: 8)),
        ] {
            let path = try folder.packed(type, 4, body)
            let error = #expect(throws: FormatError.self) {
                try PackedFile(path, vocabularySize: 10, verify: true)
            }
            #expect(error?.part == "token 2")
            let stream = try TokenStream(segments: [PackedFile(path, vocabularySize: 10)])
            var loader = try PackedLoader(stream, .init(rows: 1, length: 3))
            let late = #expect(throws: FormatError.self) { try loader.next() }
            #expect(late?.part == "token 2" && late?.file == path)
        }
    }

    @Test func separatorsMarkDocuments() throws {
        let tokens: [UInt8] = [5, 1, 6, 7, 1, 1, 8, 9, 1]
        let path = try folder.packed(1, 9, tokens)
        func starts(_ separator: PackedFile.Separator?) throws -> [[Int]] {
            let file = try PackedFile(path, vocabularySize: 10, separator: separator)
            let stream = try TokenStream(segments: [file, file])
            return [stream.documentStarts(in: 0..<18), stream.documentStarts(in: 2..<5)]
        }
        #expect(try starts(nil) == [[0, 9], []])
        #expect(try starts(.init(1)) == [[0, 1, 4, 5, 8, 9, 10, 13, 14, 17], [4]])
        #expect(try starts(.init(1, ends: true)) == [[0, 2, 5, 6, 9, 11, 14, 15], [2]])
        // Any part of the range gives the same places.
        let file = try PackedFile(path, vocabularySize: 10, separator: .init(1, ends: true))
        let stream = try TokenStream(segments: [file, file])
        let all = stream.documentStarts(in: 0..<18)
        for low in 0...18 {
            for high in low...18 {
                #expect(stream.documentStarts(in: low..<high) == all.filter { (low..<high).contains($0) })
            }
        }
    }

    @Test(arguments: PackedFile.TokenType.allCases)
    func writtenFilesReadBack(_ type: PackedFile.TokenType) throws {
        let vocabulary = min(type.largest + 1, 100_000)
        let tokens = (0..<1000).map { Int32($0 * 7919 % vocabulary) }
        let stream = try TokenStream([folder.shard([tokens], vocabulary: vocabulary)])
        let writer = try PackedFileWriter(vocabularySize: vocabulary, type: type, tokensPerFile: 300, filling: 2)
        let paths = try writer.write(stream, into: folder.path("out"), name: "train")
        #expect(paths.map { $0.split(separator: "/").last ?? "" } == (0..<4).map { "train_000000000\($0).bin" })
        let files = try paths.map { try PackedFile($0, vocabularySize: vocabulary, verify: true) }
        let back = try TokenStream(segments: files)
        #expect(files.allSatisfy { $0.tokenCount == 300 && $0.type == type })
        #expect(back.tokens(0..<1200) == tokens + [Int32](repeating: 2, count: 200))
        let header = try TemporaryFolder.read(paths[0])[..<24]
        let size = TemporaryFolder.bytes(UInt64(300))
        #expect(Array(header) == Array("LITPKDS".utf8) + [1, 0, 0, 0, 0, 0, 0, 0, type.rawValue] + size)
        let whole = try PackedFileWriter(vocabularySize: vocabulary, type: type)
        let one = try whole.write(stream, into: folder.path("out"), name: "all")
        #expect(try PackedFile(one[0], vocabularySize: vocabulary).tokenCount == 1000 && one.count == 1)
    }

    @Test func writersRefuseWhatDoesNotFit() throws {
        #expect(throws: DataError.self) { try PackedFileWriter(vocabularySize: 65_537, type: .uint16) }
        #expect(throws: DataError.self) { try PackedFileWriter(vocabularySize: 129, type: .int8) }
        #expect(throws: DataError.self) { try PackedFileWriter(vocabularySize: 10, tokensPerFile: 0) }
        #expect(try PackedFileWriter(vocabularySize: 65_536).type == .uint16)
        #expect(try PackedFileWriter(vocabularySize: 65_537).type == .int32)
    }

    /// Arbitrary damage: either refused with a typed error, or a file whose every token can be read.
    @Test func damagedFilesNeverCrash() throws {
        var random = Random(seed: 11)
        let whole = try TemporaryFolder.read(folder.packed(8, 20, (0..<40).map { UInt8($0 % 2 * 0) }))
        var (refused, read) = (0, 0)
        for _ in 0..<4000 {
            var bytes = whole
            for _ in 0...random.index(below: 3) {
                let place = random.index(below: random.index(below: 2) == 0 ? 24 : bytes.count)
                let value = UInt8(truncatingIfNeeded: random.next())
                bytes[place] = place < 24 ? value : place % 2 == 0 ? value % 52 : 0
            }
            if random.index(below: 4) == 0 { bytes.removeLast(random.index(below: bytes.count)) }
            let path = try folder.write("fuzz.bin", bytes)
            do {
                let stream = try TokenStream(segments: [PackedFile(path, vocabularySize: 50, separator: .init(1))])
                _ = stream.documentStarts(in: 0..<stream.tokenCount)
                if stream.tokenCount > 1 {
                    var loader = try PackedLoader(stream, .init(rows: 1, length: stream.tokenCount - 1))
                    let batch = try loader.next()
                    #expect(batch.tokens.allSatisfy { (0..<50).contains($0) })
                }
                read += 1
            } catch is FormatError {
                refused += 1
            }
        }
        #expect(refused > 2000 && read > 100)
    }
}
