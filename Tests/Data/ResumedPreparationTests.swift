import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

/// Preparation on many threads, broken off and gone on with: always the same bytes.
@Suite struct ResumedPreparationTests {
    let folder = TemporaryFolder()

    /// Files of many kinds: long text, JSON lines with bad records, records that are cut, empty files.
    func inputs() throws -> [String] {
        var random = Random(seed: 4)
        func words(_ count: Int) -> String {
            (0..<count).map { _ in "w\(random.index(below: 1000)) é" }.joined(separator: " ")
        }
        let lines = (0..<1500).map { line -> String in
            if line % 97 == 0 { return "{broken" }
            if line % 211 == 0 { return "{\"text\": \"\"}" }
            return "{\"text\": \"\(words(line % 300 == 0 ? 3000 : random.index(below: 60)))\"}"
        }
        folder.makeFolder("in")
        return [
            try folder.write("in/a.jsonl", lines.joined(separator: "\n")),
            try folder.write("in/b.txt", (0..<4000).map { _ in words(20) }.joined(separator: "\n")),
            try folder.write("in/c.txt", ""),
            try folder.write("in/d.jsonl", lines.reversed().joined(separator: "\n")),
            try folder.write("in/e.txt", words(10)),
        ]
    }

    var settings: DataPreparation.Settings {
        .init(
            reading: .init(longestDocument: 20_000), validationShare: 0.1, shardTokens: 90_000)
    }

    func prepare(
        _ paths: [String], _ name: String, threads: Int? = nil, tokenizer: (any Tokenizer)? = nil,
        settings: DataPreparation.Settings? = nil, validation: [String] = [], restart: Bool = false,
        stop: (@Sendable () -> Bool)? = nil
    ) throws -> DataManifest {
        var options = DataPreparation.Options()
        options.threads = threads
        options.journalInterval = 0.01
        options.chunkBytes = 20_000
        options.restart = restart
        options.shouldStop = stop
        var preparation = try DataPreparation(
            tokenizer: tokenizer ?? ByteTokenizer(endOfDocument: true), settings: settings ?? self.settings)
        preparation.reader.unitBytes = 100_000
        return try preparation.run(paths, validation: validation, into: folder.path(name), options: options)
    }

    /// Every file of a prepared folder with its bytes; nothing else may be left there.
    func content(_ name: String) throws -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        let stream = try #require(opendir(folder.path(name)))
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let file = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if file != ".", file != ".." { result[file] = try TemporaryFolder.read(folder.path("\(name)/\(file)")) }
        }
        return result
    }

    @Test func bytesDoNotDependOnThreads() throws {
        let paths = try inputs()
        let one = try prepare(paths, "one", threads: 1)
        #expect(one.training.shards.count > 5 && one.report.malformed > 20 && one.report.cut > 5)
        #expect(try one.sources.map(\.checksum) == paths.map { try RunChecksum(of: $0).text })
        let expected = try content("one")
        #expect(expected.count == one.training.shards.count + (one.validation?.shards.count ?? 0) + 1)
        for threads in [2, 3, 7, 16] {
            _ = try prepare(paths, "some", threads: threads, restart: true)
            #expect(try content("some") == expected, "\(threads) threads")
        }
        let data = try PreparedData(folder: folder.path("one"))
        #expect(data.training.tokenCount == one.training.tokens)
    }

    /// Stopped after each of many numbers of looks at the stop request, and gone on with until done.
    @Test(arguments: [1, 2, 3, 7])
    func stoppedPreparationEndsTheSame(_ looks: Int) throws {
        let paths = try inputs()
        let whole = try prepare(paths, "whole", validation: [paths[4]])
        let expected = try content("whole")
        #expect(whole.validation?.documents == 1)
        var stops = 0
        while true {
            let left = Guarded(looks)
            do {
                _ = try prepare(paths, "parts", threads: 1 + stops % 3, validation: [paths[4]]) {
                    left.withLock { left in
                        left -= 1
                        return left < 0
                    }
                }
                break
            } catch let error as DataPreparation.Interrupted {
                stops += 1
                #expect(error.description.contains("goes on from there"))
                #expect(throws: FormatError.self) { try DataManifest(folder: folder.path("parts")) }
            }
            try #require(stops < 2000)
        }
        #expect(stops > 3)
        #expect(try content("parts") == expected)
    }

    /// What a kill may leave: an older journal beside shards that have gone further, or have been finished since.
    @Test func anyEarlierJournalFitsLaterShards() throws {
        let paths = try inputs()
        _ = try prepare(paths, "whole")
        let expected = try content("whole")
        var journals: [[UInt8]] = []
        var plan: [UInt8] = []
        var boundaries: [String: [UInt8]] = [:]
        let left = Guarded(0)
        while true {
            do {
                left.withLock { $0 = 4 }
                _ = try prepare(paths, "parts") {
                    left.withLock { left in
                        left -= 1
                        return left < 0
                    }
                }
                break
            } catch is DataPreparation.Interrupted {
                for (file, bytes) in try content("parts") {
                    if file.hasSuffix("journal.json") { journals.append(bytes) }
                    if file.hasSuffix("plan.json") { plan = bytes }
                    if file.hasSuffix(".boundaries") { boundaries[file] = bytes }
                }
            }
        }
        #expect(journals.count > 3)
        #expect(try content("parts") == expected)
        for journal in journals {
            // All shards are finished under their names; the journal knows only some of them.
            try folder.write("parts/preparation-journal.json", journal)
            try folder.write("parts/preparation-plan.json", plan)
            for (file, bytes) in boundaries { try folder.write("parts/\(file)", bytes) }
            _ = try prepare(paths, "parts")
            for (file, bytes) in try content("parts") where !file.hasSuffix(".boundaries") {
                #expect(expected[file] == bytes, "\(file)")
            }
        }
    }

    @Test func anotherPreparationIsRefused() throws {
        let paths = try inputs()
        let stop = { @Sendable in true }
        #expect(throws: DataPreparation.Interrupted.self) { try prepare(paths, "out", stop: stop) }
        var other = settings
        other.shardTokens += 1
        func refusal(_ body: () throws -> Void) -> String {
            let error = #expect(throws: DataError.self) { try body() }
            return error?.description ?? ""
        }
        #expect(refusal { _ = try prepare(paths, "out", settings: other) }.contains("other settings"))
        #expect(refusal { _ = try prepare(Array(paths[1...]), "out") }.contains("other sources"))
        #expect(refusal { _ = try prepare(paths, "out", tokenizer: ByteTokenizer()) }.contains("another tokenizer"))
        #expect(refusal { _ = try prepare(paths, "out", validation: [paths[4]]) }.contains("other sources"))
        let plan = try TemporaryFolder.read(folder.path("out/preparation-plan.json"))
        let old = String(decoding: plan, as: UTF8.self).replacing("\"version\":3", with: "\"version\":2")
        try folder.write("out/preparation-plan.json", old)
        #expect(refusal { _ = try prepare(paths, "out") }.contains("another version of this program"))
        try folder.write("out/preparation-plan.json", plan)
        try folder.write("in/e.txt", "changed")
        #expect(refusal { _ = try prepare(paths, "out") }.contains("another content of \(paths[4])"))
        let journal = folder.path("out/preparation-journal.json")
        #expect(access(journal, F_OK) == 0)
        _ = try prepare(paths, "out", restart: true)
        #expect(access(journal, F_OK) != 0)
        let manifest = try prepare(paths, "fresh")
        #expect(try DataManifest(folder: folder.path("out")) == manifest)
        #expect(try content("out") == content("fresh"))
    }

    @Test func damagedJournalsAreRefused() throws {
        let paths = try inputs()
        let left = Guarded(6)
        #expect(throws: DataPreparation.Interrupted.self) {
            try prepare(paths, "out") {
                left.withLock { left in
                    left -= 1
                    return left < 0
                }
            }
        }
        let path = folder.path("out/preparation-journal.json")
        let journal = try TemporaryFolder.read(path)
        var random = Random(seed: 2)
        var refused = 0
        for _ in 0..<60 {
            var bytes = journal
            if random.index(below: 2) == 0 {
                bytes.removeLast(1 + random.index(below: bytes.count - 1))
            } else {
                bytes[random.index(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            try folder.write("out/preparation-journal.json", bytes)
            do { _ = try prepare(paths, "out") { true } } catch is FormatError { refused += 1 } catch is DataError {
                refused += 1
            } catch is DataPreparation.Interrupted {}
        }
        #expect(refused > 20)
    }

    @Test func oneProcessAtATime() throws {
        let paths = try inputs()
        let folder = folder
        let tried = Guarded(false)
        let error = Guarded("")
        let nested: @Sendable () -> Bool = {
            guard
                tried.withLock({ tried in
                    defer { tried = true }
                    return !tried
                })
            else { return false }
            do {
                _ = try DataPreparation(tokenizer: ByteTokenizer()).run(paths, into: folder.path("out"))
            } catch let found {
                error.withLock { $0 = "\(found)" }
            }
            return false
        }
        _ = try prepare(paths, "out", stop: nested)
        #expect(error.withLock { $0 }.contains("another process"))
    }

    @Test func progressCountsToTheEnd() throws {
        let paths = try inputs()
        var options = DataPreparation.Options()
        let seen = Guarded<[PreparationProgress]>([])
        options.progress = { progress in seen.withLock { $0.append(progress) } }
        let manifest = try DataPreparation(tokenizer: ByteTokenizer(), settings: settings).run(
            paths, into: folder.path("out"), options: options)
        let all = seen.withLock { $0 }
        let first = try #require(all.first)
        #expect(first.tokens > 0 && first.bytesPerSecond > 0 && first.share > 0 && first.share <= 1)
        #expect((all.last?.tokens ?? 0) <= manifest.training.tokens + (manifest.validation?.tokens ?? 0))
    }

    /// A wrong field name in a large file is found out before everything was read.
    @Test func hopelessInputEndsEarly() throws {
        let lines = String(repeating: "{\"txt\": \"some words\"}\n", count: 10_000)
        let paths = [
            try folder.write("a.jsonl", lines), try folder.write("b.jsonl", "{\"text\": \"good\"}\n" + lines),
        ]
        let error = #expect(throws: DataError.self) { try prepare(paths, "out") }
        let text = error?.description ?? ""
        #expect(text.contains("10000 of 10000 records cannot be used"), "\(text)")
        #expect(text.contains("\(paths[0]):1: no text under \"text\"") && text.contains("a.jsonl:10:"))
        #expect(!text.contains("a.jsonl:11:"))
    }
}
