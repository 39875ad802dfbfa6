import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct DocumentReaderTests {
    let folder = TemporaryFolder()

    func read(_ paths: [String], _ settings: DocumentReader.Settings = .init()) throws -> ([String], DataReport) {
        var texts: [String] = []
        let result = try DocumentReader(settings).read(paths) {
            texts.append(String(decoding: $0.bytes, as: UTF8.self))
        }
        #expect(result.report.documents == texts.count)
        #expect(result.report.textBytes == texts.reduce(0) { $0 + $1.utf8.count })
        return (texts, result.report)
    }

    @Test func folderIsReadInOrder() throws {
        folder.makeFolder("b")
        folder.makeFolder("b/deep")
        try folder.write("c.txt", "three")
        try folder.write("a.md", "one")
        try folder.write("b/deep/x.jsonl", "{\"text\": \"two\"}\n\n{\"text\": \"zwei\", \"id\": 7}")
        try folder.write("b/picture.png", [0xff])
        try folder.write(".hidden.txt", "no")
        let (texts, report) = try read([folder.root])
        #expect(texts == ["one", "two", "zwei", "three"])
        #expect(report.files == 3 && report.ignoredFiles == 1 && report.records == 4 && report.malformed == 0)
        #expect(try read([folder.path("*.txt")]).0 == ["three"])
        #expect(try read([folder.path("c.txt"), folder.path("a.md")]).0 == ["three", "one"])
    }

    @Test func pathsThatGiveNothingAreNamed() throws {
        for path in [folder.path("absent"), folder.path("*.absent"), ""] {
            #expect(throws: FormatError.self) { try read([path]) }
        }
        let error = #expect(throws: DataError.self) { try read([folder.root]) }
        #expect(error?.subject == folder.root)
        try folder.write("empty.txt", "")
        #expect(throws: DataError.self) { try read([folder.root]) }
    }

    @Test func linksInCirclesEnd() throws {
        let inner = folder.makeFolder("inner")
        symlink(folder.root, "\(inner)/back")
        symlink("nowhere", folder.path("dangling.txt"))
        try folder.write("a.txt", "one")
        #expect(try read([folder.root]).0 == ["one"])
    }

    @Test func badRecordsAreCountedWithFileAndLine() throws {
        let lines: [[UInt8]] = [
            Array("{\"text\": \"good\"}".utf8), Array("{\"text\": ".utf8), Array("{\"other\": \"x\"}".utf8),
            Array("{\"text\": 5}".utf8), Array("{\"text\": \"\"}".utf8), Array("   ".utf8),
            Array("{\"text\": \"caf".utf8) + [0xe9] + Array(" in a sentence that is long enough\"}".utf8),
            Array("{\"text\": \"end\"}\r".utf8),
        ]
        let path = try folder.write("a.jsonl", Array(lines.joined(separator: [0x0a])))
        let (texts, report) = try read([path], .init(malformedLimit: 0.5))
        #expect(texts == ["good", "caf\u{fffd} in a sentence that is long enough", "end"])
        #expect(report.records == 7 && report.malformed == 3 && report.empty == 1 && report.repaired == 1)
        #expect(report.findings.map(\.line) == [2, 3, 4, 5, 7])
        #expect(report.findings.allSatisfy { $0.file == path })
        #expect(report.findings[0].description.hasPrefix("\(path):2: no valid JSON"))
        let error = #expect(throws: DataError.self) { try read([path]) }
        #expect(error?.rule.contains("3 of 7 records") == true)
        #expect(error?.advice.contains("\(path):2:") == true)
        #expect(try read([path], .init(textField: "other", malformedLimit: 1)).0 == ["x"])
    }

    @Test func onlyTenFindingsAreKept() throws {
        let path = try folder.write("a.jsonl", "{\"text\":\"x\"}\n" + String(repeating: "?\n", count: 40))
        let report = try read([path], .init(malformedLimit: 1)).1
        #expect(report.malformed == 40 && report.findings.count == 10)
    }

    @Test func invalidBytesAreRepairedAndBinaryIsRefused() throws {
        let text = String(repeating: "line\n", count: 20)
        let repaired = try folder.write("a.txt", [0xef, 0xbb, 0xbf] + Array(text.utf8) + [0xff] + Array("end".utf8))
        let (texts, report) = try read([repaired])
        #expect(texts == [text + "\u{fffd}end"])
        #expect(report.repaired == 1 && report.findings.first?.line == 21)
        var random = Random(seed: 1)
        let binary = try folder.write("b.txt", (0..<1000).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        #expect(throws: DataError.self) { try read([binary]) }
        #expect(throws: DataError.self) { try read([repaired, binary]) }
        let both = try read([repaired, binary], .init(malformedLimit: 0.5)).1
        #expect(both.malformed == 1 && both.repaired == 1 && both.findings.last?.file == binary)
    }

    @Test func longDocumentsAreCutBetweenCharacters() throws {
        let text = String(repeating: "ä€😀x", count: 50)
        let path = try folder.write("a.txt", text)
        for longest in 16...40 {
            let (texts, report) = try read([path], .init(longestDocument: longest))
            #expect(texts.joined() == text)
            #expect(texts.allSatisfy { $0.utf8.count <= longest && !$0.contains("\u{fffd}") })
            #expect(report.cut == 1 && report.records == 1)
        }
        #expect(throws: DataError.self) { try DocumentReader(.init(longestDocument: 1)) }
        #expect(throws: DataError.self) { try DocumentReader(.init(malformedLimit: .nan)) }
    }

    @Test func unitsAreReadByThemselvesFromAnyRecord() throws {
        let lines = (0..<30).map { $0 % 7 == 3 ? "\n" : $0 % 5 == 4 ? "?\n" : "{\"text\": \"\($0)\"}\n" }.joined()
        try folder.write("a.jsonl", lines)
        try folder.write("b.txt", "one")
        let reader = try DocumentReader(.init(malformedLimit: 1))
        let units = try reader.units(of: [folder.root])
        var whole: [[String]] = []
        var merged = DataReport()
        for unit in units {
            var records: [(Int, String)] = []
            let result = try reader.read(unit) {
                records.append(($0.record, String(decoding: $0.bytes, as: UTF8.self)))
            }
            whole.append(records.map(\.1))
            #expect(result.report.files == 1)
            #expect(try result.checksum == RunChecksum(of: unit.path))
            merged.merge(result.report)
            for first in 0...result.report.records + 1 {
                var rest: [(Int, String)] = []
                let later = try reader.read(unit, from: first) {
                    rest.append(($0.record, String(decoding: $0.bytes, as: UTF8.self)))
                }
                #expect(rest.map(\.0) == records.map(\.0).filter { $0 >= first })
                #expect(rest.map(\.1) == records.filter { $0.0 >= first }.map(\.1))
                #expect(later.report.records == max(0, result.report.records - first))
                #expect(later.report.files == (first == 0 ? 1 : 0))
            }
        }
        let (texts, report) = try read([folder.root], .init(malformedLimit: 1))
        #expect(whole.flatMap { $0 } == texts && merged == report)
        #expect(report.malformed > 0 && report.documents > 10)
    }

    @Test func damagedLinesNeverCrash() throws {
        let good = Array("{\"text\": \"Gr\u{fc}\u{df}e \\u00e9\"}\n{\"text\": \"b\", \"n\": [1, {}]}\n".utf8)
        var random = Random(seed: 2)
        for round in 0..<2000 {
            var bytes = round % 2 == 0 ? Array(good.prefix(random.index(below: good.count + 1))) : good
            for _ in 0..<random.index(below: 4) where !bytes.isEmpty {
                bytes[random.index(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
            }
            let path = try folder.write(round % 4 < 2 ? "f.jsonl" : "f.txt", bytes)
            do {
                let (texts, report) = try read([path], .init(malformedLimit: 1))
                #expect(texts.count == report.documents && !texts.isEmpty)
            } catch is DataError {}
        }
    }
}
