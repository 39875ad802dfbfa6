import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

@Suite struct DataSourcesTests {
    let folder = TemporaryFolder()

    func tokenizer() throws -> ByteTokenizer { try ByteTokenizer(endOfDocument: true) }

    func open(_ settings: DataSources.Settings) throws -> DataSources {
        try DataSources(settings, tokenizer: tokenizer(), folder: folder.path("cache"))
    }

    func text(_ stream: TokenStream?) throws -> String {
        try tokenizer().decode(stream.map { $0.tokens(0..<$0.tokenCount) } ?? [])
    }

    /// A prepared folder, a packed file and a text, all of which say what they are.
    func three() throws -> [String] {
        let prepared = try folder.write("p.txt", String(repeating: "prepared\n", count: 40))
        _ = try DataPreparation(tokenizer: tokenizer(), settings: .init(validationShare: 0.2)).run(
            [prepared], into: folder.path("prepared"))
        let document = Array("packed\n".utf8).map { Int32($0) } + [256]
        let tokens = (0..<40).flatMap { _ in document }
        let stream = try TokenStream([folder.shard([tokens], vocabulary: 257)])
        let files = try PackedFileWriter(vocabularySize: 257, tokensPerFile: 100).write(
            stream, into: folder.path("packed"), name: "x")
        #expect(files.count == 4)
        return [
            folder.path("prepared"), folder.path("packed"),
            try folder.write("t.txt", String(repeating: "text\n", count: 40)),
        ]
    }

    @Test func everythingBecomesOneStream() throws {
        let names = try three()
        let data = try open(.init(training: names, preparation: .init(validationShare: 0.1), separator: .init(256)))
        let training = try text(data.sources[0].stream)
        #expect(data.sources.count == 1 && data.manifests.count == 2)
        #expect(training.hasPrefix("prepared\n") && training.hasSuffix("text\n"))
        #expect(training.contains("packed\npacked\n") && training.filter { $0 == "k" }.count == 40)
        let held = try text(data.validation)
        #expect(held.hasPrefix("prepared\n") && held.hasSuffix("text\n") && !held.contains("packed"))
        #expect(data.sources[0].stream.textBytes == nil && data.validation?.textBytes == held.utf8.count)
        #expect(try data.loader(.init(rows: 2, length: 16)) is PackedLoader)
        // A pattern and a single file name packed files, too.
        let pattern = try open(.init(training: [folder.path("packed/*.bin")], separator: .init(256)))
        #expect(pattern.sources[0].stream.tokenCount == 320 && pattern.validation == nil)
        let one = try open(.init(training: [folder.path("packed/x_0000000001.bin")]))
        #expect(one.sources[0].stream.tokenCount == 100)
    }

    @Test func weightsMakeAMixture() throws {
        let names = try three()
        let data = try open(.init(training: names, weights: [1, 2, 1]))
        #expect(data.sources.map(\.name) == names && data.sources.map(\.weight) == [1, 2, 1])
        #expect(data.summary.contains("50.0 % \(names[1])"), "\(data.summary)")
        var loader = try data.loader(.init(rows: 4, length: 16, seed: 1))
        var counts = [0, 0, 0]
        for _ in 0..<20 {
            let batch = try loader.next()
            for row in 0..<4 {
                let text = try tokenizer().decode(batch.tokens[row * 16..<row * 16 + 16])
                counts[text.contains("k") ? 1 : text.contains("x") ? 2 : 0] += 1
            }
        }
        #expect(counts == [20, 40, 20])
        #expect(throws: DataError.self) { try open(.init(training: names, weights: [1, 2])) }
    }

    @Test func namedValidationIsAllHeldOut() throws {
        let names = try three()
        let more = try folder.write("v.txt", "held out\n")
        let data = try open(.init(training: [names[2]], validation: [names[0], names[1], more]))
        let held = try text(data.validation)
        #expect(held.filter { $0 == "k" }.count == 40 && held.hasSuffix("held out\n"))
        #expect(held.components("prepared") == 40)
        #expect(try text(data.sources[0].stream).components("text") == 40)
    }

    @Test func otherTokenizersAreRefused() throws {
        let names = try three()
        let error = #expect(throws: DataError.self) {
            try DataSources(
                .init(training: [names[0]]), tokenizer: ByteTokenizer(), folder: folder.path("cache"))
        }
        #expect(error?.rule == "was prepared with another tokenizer than the model's")
        // Tokens of packed files are checked where they are used.
        let packed = try DataSources(
            .init(training: [names[1]]), tokenizer: ByteTokenizer(), folder: folder.path("cache"))
        var loader = try packed.loader(.init(rows: 8, length: 16))
        let late = #expect(throws: FormatError.self) { try loader.next() }
        #expect(late?.rule == "is 256, the vocabulary has 256")
    }

    @Test func mixtureDescriptionsReadBack() throws {
        let mixture = try MixtureDescription([.init(path: "/a", weight: 0.25), .init(path: "/b c", weight: 3)])
        try mixture.save(folder.path("mix.json"))
        #expect(try MixtureDescription(contentsOf: folder.path("mix.json")) == mixture)
        let relative = try folder.write(
            "r.json", "{\"format\": \"gdn-mixture\", \"version\": 1, \"sources\": [{\"path\": \"x\", \"weight\": 1}]}")
        #expect(try MixtureDescription(contentsOf: relative).sources[0].path == folder.path("x"))
        for text in [
            "[]", "{}", "{\"format\": \"gdn-mixture\", \"version\": 2, \"sources\": []}",
            "{\"format\": \"gdn-mixture\", \"version\": 1}",
            "{\"format\": \"gdn-mixture\", \"version\": 1, \"sources\": [{\"path\": \"x\"}]}",
            "{\"format\": \"gdn-mixture\", \"version\": 1, \"sources\": [{\"path\": \"\", \"weight\": 1}]}",
        ] {
            let path = try folder.write("bad.json", text)
            #expect(throws: FormatError.self) { try MixtureDescription(contentsOf: path) }
        }
        for weight in [0, -1, Double.nan] {
            #expect(throws: DataError.self) { try MixtureDescription([.init(path: "/a", weight: weight)]) }
        }
    }

    /// Rows of a million tokens, whose documents restart, from a stream a little longer than two of them.
    @Test func rowsMayHaveAMillionTokens() throws {
        let length = 1 << 20
        let stream = try folder.stream([length / 2, 7, length, length / 2 + 100])
        var loader = try PackedLoader(stream, .init(rows: 1, length: length, shuffle: false))
        let first = try loader.next()
        #expect(first.sequences == [0, Int32(length / 2), Int32(length / 2 + 7), Int32(length)])
        #expect(first.targetCount == length - 2 && first.tokens.last == Int32(length - 1))
        #expect(try loader.next().tokens.first == Int32(length) && loader.windowCount == 2)
    }
}

extension String {
    /// How often a word is in it.
    fileprivate func components(_ word: String) -> Int {
        var (count, rest) = (0, self[...])
        while let range = rest.firstRange(of: word) {
            count += 1
            rest = rest[range.upperBound...]
        }
        return count
    }
}
