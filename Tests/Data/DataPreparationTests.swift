import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

@Suite struct DataPreparationTests {
    let folder = TemporaryFolder()

    func tokenizer() throws -> ByteTokenizer { try ByteTokenizer(endOfDocument: true) }

    func text(_ tokens: TokenStream?) throws -> String {
        try tokenizer().decode(tokens.map { $0.tokens(0..<$0.tokenCount) } ?? [])
    }

    @Test func tailOfATextFileIsHeldOut() throws {
        let lines = (0..<100).map { "line number \($0)\n" }.joined()
        let path = try folder.write("a.txt", lines)
        let data = try PreparedData.open(
            [path], tokenizer: tokenizer(), settings: .init(validationShare: 0.1), in: folder.path("out"))
        let (training, validation) = try (text(data.training), text(data.validation))
        #expect(training + validation == lines && training.hasSuffix("\n") && validation.hasPrefix("line"))
        #expect(abs(Double(validation.utf8.count) / Double(lines.utf8.count) - 0.1) < 0.02)
        #expect(data.manifest.training.textBytes == training.utf8.count)
        #expect(data.training.tokenCount == training.utf8.count + 1)
        #expect(data.manifest.sources.map(\.path) == [path])
        #expect(try data.manifest.sources[0].checksum == RunChecksum(of: path).text)
        #expect(data.manifest.tokenizer == (try tokenizer().identity))
    }

    @Test func documentsStayOnTheirSide() throws {
        let lines = (0..<400).map { "{\"text\": \"document \($0 % 300)\"}\n" }
        let path = try folder.write("a.jsonl", lines.joined())
        let settings = DataPreparation.Settings(validationShare: 0.25)
        let data = try PreparedData.open([path], tokenizer: tokenizer(), settings: settings, in: folder.path("out"))
        func documents(_ stream: TokenStream?) throws -> [String] {
            let stream = try #require(stream)
            let starts = stream.documentStarts(in: 0..<stream.tokenCount) + [stream.tokenCount]
            return try zip(starts, starts.dropFirst()).map { try tokenizer().decode(stream.tokens($0..<$1)) }
        }
        let (training, validation) = try (documents(data.training), documents(data.validation))
        #expect(training.count + validation.count == 400)
        #expect(Set(training).isDisjoint(with: Set(validation)))
        #expect(Set(training).union(validation) == Set((0..<300).map { "document \($0)" }))
        #expect((60...140).contains(validation.count))
        let fewer = try folder.write("b.jsonl", lines[100..<250].joined())
        let part = try PreparedData.open([fewer], tokenizer: tokenizer(), settings: settings, in: folder.path("out2"))
        #expect(Set(try documents(part.validation)).isSubset(of: Set(validation)))
    }

    @Test func sameInputGivesTheSameBytes() throws {
        let path = try folder.write("a.txt", String(repeating: "some text\n", count: 50))
        let settings = DataPreparation.Settings(shardTokens: 100)
        for name in ["one", "two"] {
            _ = try DataPreparation(tokenizer: tokenizer(), settings: settings).run(
                [path, path, path], into: folder.path(name))
        }
        let manifest = try DataManifest(folder: folder.path("one"))
        #expect(manifest.training.shards.count == 3)
        for file in manifest.training.shards.map(\.file) + [DataManifest.name] {
            #expect(
                try TemporaryFolder.read(folder.path("one/\(file)")) == TemporaryFolder.read(folder.path("two/\(file)"))
            )
        }
        for shard in manifest.training.shards {
            #expect(try RunChecksum(of: folder.path("one/\(shard.file)")).text == shard.checksum)
            try shard.verify(in: folder.path("one"))
        }
    }

    /// Version 1 had SHA-256 sums under another key: it is read, compared, and written again as version 2.
    @Test func manifestsOfVersion1AreRead() throws {
        let path = try folder.write("a.txt", String(repeating: "some text\n", count: 50))
        let out = folder.path("out")
        let manifest = try DataPreparation(tokenizer: tokenizer()).run([path], into: out)
        var text = String(decoding: try TemporaryFolder.read("\(out)/manifest.json"), as: UTF8.self)
        text = text.replacing("\"version\" : 2", with: "\"version\" : 1")
        text = text.replacing("\"checksum\"", with: "\"sha256\"")
        var expected = manifest
        expected.sources[0].checksum = "sha256:" + (try SHA256.digest(contentsOf: path))
        text = text.replacing(manifest.sources[0].checksum, with: expected.sources[0].checksum.dropFirst(7))
        let shard = manifest.training.shards[0]
        let trainingSum = try SHA256.digest(contentsOf: "\(out)/\(shard.file)")
        expected.training.shards[0].checksum = "sha256:" + trainingSum
        text = text.replacing(shard.checksum, with: trainingSum)
        let held = try #require(manifest.validation?.shards[0])
        let sum = try SHA256.digest(contentsOf: "\(out)/\(held.file)")
        expected.validation?.shards[0].checksum = "sha256:" + sum
        text = text.replacing(held.checksum, with: sum)
        try folder.write("out/manifest.json", text)
        let old = try DataManifest(folder: out)
        #expect(old == expected)
        try old.training.shards[0].verify(in: out)
        try old.save(in: out)
        #expect(try DataManifest(folder: out) == expected)
        try folder.write("out/\(held.file)", "something else")
        let error = #expect(throws: FormatError.self) { try old.validation?.shards[0].verify(in: out) }
        #expect(error?.rule.contains("the manifest says sha256:\(sum)") == true)
        try folder.write("out/manifest.json", text.replacing("\"version\" : 1", with: "\"version\" : 3"))
        let refused = #expect(throws: FormatError.self) { try DataManifest(folder: out) }
        #expect(refused?.rule.contains("version 3, this program reads 1 and 2") == true)
    }

    @Test func preparedDataIsReusedUntilSomethingChanges() throws {
        let path = try folder.write("a.txt", String(repeating: "some text\n", count: 50))
        let out = folder.path("out")
        func inode() -> UInt64 {
            var status = stat()
            return stat("\(out)/train-00000.tokens", &status) == 0 ? UInt64(status.st_ino) : 0
        }
        func open(_ share: Double) throws -> PreparedData {
            try PreparedData.open([path], tokenizer: tokenizer(), settings: .init(validationShare: share), in: out)
        }
        let first = try open(0.1)
        let before = inode()
        #expect(try open(0.1).manifest == first.manifest && inode() == before)
        #expect(try open(0.2).manifest != first.manifest && inode() != before)
        try folder.write("a.txt", String(repeating: "other text\n", count: 50))
        #expect(try text(open(0.2).training).hasPrefix("other"))
        // The first tokens stay readable: shards are replaced, not overwritten.
        #expect(try text(first.training).hasPrefix("some"))
        #expect(throws: DataError.self) { try PreparedData(folder: out, tokenizer: ByteTokenizer()) }
    }

    @Test func damagedFoldersAreRefused() throws {
        let path = try folder.write("a.txt", String(repeating: "some text\n", count: 50))
        let out = folder.path("out")
        _ = try DataPreparation(tokenizer: tokenizer()).run([path], into: out)
        let manifest = try TemporaryFolder.read("\(out)/manifest.json")
        for bytes in [[], Array("{}".utf8), Array(manifest.dropLast(20))] {
            try folder.write("out/manifest.json", bytes)
            #expect(throws: FormatError.self) { try PreparedData(folder: out) }
        }
        try folder.write("out/manifest.json", manifest)
        #expect(try PreparedData(folder: out).validation != nil)
        unlink("\(out)/validation-00000.tokens")
        #expect(throws: FormatError.self) { try PreparedData(folder: out) }
        #expect(try PreparedData.open([path], tokenizer: tokenizer(), in: out).validation != nil)
    }

    @Test func separateValidationFilesAreHeldOut() throws {
        let a = try folder.write("a.txt", "to train on\n")
        let b = try folder.write("b.txt", "held out\n")
        let data = try PreparedData.open([a], validation: [b], tokenizer: tokenizer(), in: folder.path("out"))
        #expect(try text(data.training) == "to train on\n" && text(data.validation) == "held out\n")
        #expect(data.manifest.validationSources.map(\.path) == [b])
        let all = try PreparedData.open(
            [a], tokenizer: tokenizer(), settings: .init(validationShare: 0), in: folder.path("all"))
        #expect(all.validation == nil)
    }

    @Test func tooLittleTextIsAnError() throws {
        let path = try folder.write("a.txt", "x")
        for split in DataPreparation.Split.allCases {
            #expect(throws: DataError.self) {
                try DataPreparation(tokenizer: ByteTokenizer(), settings: .init(split: split)).run(
                    [path], into: folder.path("out"))
            }
        }
        #expect(throws: DataError.self) {
            try DataPreparation(tokenizer: tokenizer(), settings: .init(validationShare: 1))
        }
        #expect(throws: DataError.self) { try DataPreparation(tokenizer: tokenizer(), settings: .init(shardTokens: 0)) }
        #expect(throws: FormatError.self) {
            try DataPreparation(tokenizer: tokenizer()).run([path], into: folder.path("absent/out"))
        }
    }
}
