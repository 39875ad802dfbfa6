import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import GDNTokenizers
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Large files in parts, compressed and damaged files.
@Suite struct InputUnitTests {
    let folder = TemporaryFolder()

    struct Reading: Equatable {
        var texts: [String] = []
        var records: [Int] = []
        var report = DataReport()
    }

    func read(_ reader: DocumentReader, _ unit: InputUnit, from first: Int = 0) throws -> Reading {
        var reading = Reading()
        reading.report = try reader.read(unit, from: first) {
            reading.texts.append(String(decoding: $0.bytes, as: UTF8.self))
            reading.records.append($0.record)
        }.report
        return reading
    }

    /// All units one after another, each also from records in its middle.
    func readAll(_ reader: DocumentReader, _ paths: [String]) throws -> (
        texts: [String], report: DataReport, units: Int
    ) {
        var (texts, report): ([String], DataReport) = ([], DataReport())
        let units = try reader.units(of: paths)
        for unit in units {
            let whole = try read(reader, unit)
            texts += whole.texts
            report.merge(whole.report)
            for first in [1, 2, whole.report.records - 1, whole.report.records] where first > 0 {
                let rest = try read(reader, unit, from: first)
                let kept = zip(whole.records, whole.texts).filter { $0.0 >= first }
                #expect(rest.texts == kept.map(\.1) && rest.records == kept.map(\.0))
                #expect(rest.report.records == max(0, whole.report.records - first))
            }
        }
        try reader.resolveLines(of: &report)
        return (texts, report, units.count)
    }

    /// Whatever the size of the units, documents, counts and lines of findings are those of the whole file.
    @Test func partsOfLinesMakeTheWhole() throws {
        var random = Random(seed: 31)
        for round in 0..<60 {
            var text = round % 5 == 0 ? "\u{feff}" : ""
            for index in 0..<random.index(below: 40) {
                switch random.index(below: 8) {
                case 0: text += "\n"
                case 1: text += "{\"text\": \"\"}\n"
                case 2: text += "{\"broken\n"
                default:
                    text += "{\"text\": \"\(index) \(String(repeating: "é", count: random.index(below: 60)))\"}\r\n"
                }
            }
            if random.index(below: 2) == 0 { text += "{\"text\": \"last\"}" }
            let path = try folder.write("a.jsonl", text)
            var reader = try DocumentReader(.init(malformedLimit: 1))
            let whole = try readAll(reader, [path])
            #expect(whole.units == 1)
            for bytes in [1, 7, 40, 100, 333] {
                reader.unitBytes = bytes
                let parts = try readAll(reader, [path])
                #expect(parts.texts == whole.texts && parts.report == whole.report)
                let checksum = try reader.units(of: [path]).reduce(RunChecksum()) { sum, unit in
                    sum.joined(with: try #require(try reader.read(unit) { _ in }.checksum))
                }
                #expect(try checksum == RunChecksum(of: path))
                #expect(text.utf8.count <= 2 * bytes || parts.units == (text.utf8.count + bytes - 1) / bytes)
            }
        }
    }

    @Test func rowGroupsAreUnits() throws {
        for name in ["dictionary-zstd-v1", "plain-v2-optional", "duckdb-v1"] {
            let path = TemporaryFolder.fixture("parquet/\(name).parquet")
            var reader = try DocumentReader()
            let whole = try readAll(reader, [path])
            #expect(whole.units == 1 && whole.report.records == 30 && whole.report.empty == 9)
            #expect(whole.texts.count == 21 && whole.texts.prefix(2) == ["first", "Größe 日本語"])
            #expect(whole.report.findings.prefix(3).map(\.line) == [2, 3, 8])
            #expect(whole.report.findings.first?.description == "\(path):2: no text; left out")
            reader.unitBytes = 1
            let parts = try readAll(reader, [path])
            #expect(parts.texts == whole.texts && parts.report == whole.report)
            #expect(parts.units == (name == "duckdb-v1" ? 1 : 2))
            #expect(try reader.read([path]) { _ in }.sources == [reader.source(of: path)])
        }
    }

    @Test func foldersHoldEveryFormat() throws {
        for (name, source) in [
            ("a.parquet", "parquet/duckdb-v2.parquet"), ("b.jsonl.gz", "compressed/members.jsonl.gz"),
            ("c.json.gz", "compressed/members.jsonl.gz"), ("d.ndjson.zst", "compressed/frames.jsonl.zst"),
            ("e.txt.zst", "compressed/frames.jsonl.zst"), ("f.json", "compressed/members.jsonl.gz"),
            ("g.gz", "compressed/members.jsonl.gz"),
        ] {
            try folder.write(name, TemporaryFolder.read(TemporaryFolder.fixture(source)))
        }
        let reader = try DocumentReader()
        var ignored = 0
        let units = try reader.units(of: [folder.root], ignored: &ignored)
        #expect(units.map(\.format) == [.parquet, .lines, .lines, .lines, .text] && ignored == 2)
        #expect(units.map(\.compression) == [.plain, .gzip, .gzip, .zstandard, .zstandard])
        let all = try readAll(reader, [folder.root])
        #expect(all.report.documents == 21 + 60 + 60 + 60 + 1)
        let result = try reader.read(units[1]) { _ in }
        #expect(try result.checksum == RunChecksum(of: folder.path("b.jsonl.gz")))
        // Named directly, a file is text whatever its name, but for the compression.
        #expect(try reader.units(of: [folder.path("g.gz")]).first?.compression == .gzip)
        #expect(try readAll(reader, [folder.path("g.gz")]).texts == [all.texts.last])
    }

    @Test(arguments: ["members.jsonl.gz", "frames.jsonl.zst"])
    func brokenOffFilesAreRefusedOrUsedUpToThere(_ name: String) throws {
        let bytes = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/\(name)"))
        let path = try folder.write(name, Array(bytes.dropLast(60)))
        let strict = try DocumentReader()
        let unit = try #require(try strict.units(of: [path]).first)
        let error = #expect(throws: FormatError.self) { _ = try read(strict, unit) }
        #expect(error?.file == path && error?.rule.contains("ends inside") == true)
        let lenient = try DocumentReader(.init(keepsDamagedFiles: true))
        let reading = try read(lenient, unit)
        #expect(reading.texts.count >= 7 && reading.texts.count < 60)
        #expect(reading.texts.enumerated().allSatisfy { $1.hasPrefix("document \($0) ") })
        #expect(reading.report.damaged == 1 && reading.report.malformed == 0)
        #expect(reading.report.findings.map(\.line) == [reading.texts.count + 1])
        #expect(try lenient.read(unit) { _ in }.checksum == RunChecksum(of: path))
        // Of a text, too, what comes before the break is used.
        let text = try folder.write("t.txt." + name.suffix(3).drop { $0 == "." }, Array(bytes.dropLast(60)))
        let part = try #require(try readAll(lenient, [text]).texts.first)
        #expect(part.hasPrefix("{\"text\": \"document 0 "))
        // An error of the one who takes the documents is never taken for damage.
        #expect(throws: FormatError.self) {
            _ = try lenient.read(unit) { _ in throw FormatError(file: "b", rule: "disk full", advice: "") }
        }
    }

    @Test func damagedParquetIsRefusedOrUsedUpToThere() throws {
        let good = TemporaryFolder.fixture("parquet/plain-v1-required.parquet")
        var bytes = try TemporaryFolder.read(good)
        let first = bytes.indices.filter { bytes[$0...].starts(with: Array("third".utf8)) }
        let place = try #require(first.dropFirst(2).first)
        bytes[place - 3] = 0xff
        let path = try folder.write("a.parquet", bytes)
        let error = #expect(throws: FormatError.self) { _ = try readAll(DocumentReader(), [path]) }
        #expect(error?.part?.hasPrefix("row group ") == true)
        let lenient = try DocumentReader(.init(keepsDamagedFiles: true))
        let reading = try read(lenient, #require(try lenient.units(of: [path]).first))
        #expect(reading.report.damaged == 1 && reading.texts.count >= 7 && reading.texts.count < 21)
        let cut = try folder.write("b.parquet", Array(bytes.dropLast(1)))
        let nothing = try read(lenient, #require(try lenient.units(of: [cut]).first))
        #expect(nothing.report.damaged == 1 && nothing.texts.isEmpty)
        // Damage before a part does not count again in the next one, and a missing column is no damage.
        let other = try DocumentReader(.init(textField: "absent", keepsDamagedFiles: true))
        #expect(throws: FormatError.self) { _ = try readAll(other, [good]) }
    }

    @Test func piecesOfATextCountAsOneRecord() throws {
        let good = String(repeating: "Zeile ä\n", count: 40)
        var bytes = Array(good.utf8)
        bytes[100] = 0xff
        bytes[300] = 0xff
        let path = try folder.write("a.txt", bytes + [UInt8](repeating: 0xfe, count: 200) + Array(good.utf8))
        let reader = try DocumentReader(.init(longestDocument: 64, malformedLimit: 1))
        let (texts, report, _) = try readAll(reader, [path])
        #expect(report.records == 1 && report.repaired == 1 && report.malformed == 1 && report.cut == 1)
        #expect(report.documents == texts.count && texts.count > 10)
        #expect(texts.joined().hasPrefix(String(good.prefix(50))) && texts.joined().hasSuffix(String(good.suffix(50))))
        #expect(report.findings.map(\.line).contains(bytes[..<100].filter { $0 == 10 }.count + 1))
    }

    /// Character by character.
    static func firstInvalid(_ bytes: [UInt8]) -> Int? {
        bytes.withUnsafeBytes { bytes in
            var index = 0
            while index < bytes.count {
                guard case .valid(let length) = UTF8Sequence(bytes, at: index) else { return index }
                index += length
            }
            return nil
        }
    }

    @Test func scanFindsWhatTheTableSays() {
        var random = Random(seed: 33)
        let pieces: [[UInt8]] = [
            Array("plain ascii text of more than thirty-two bytes".utf8), Array("é".utf8), Array("日本".utf8),
            Array("😀".utf8),
            [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe0, 0x80, 0x80], [0xf0, 0x80, 0x80, 0x80],
            [0x80],
            [0xff], [0xe2, 0x82], [0xf0, 0x9f, 0x98], [0xc3],
        ]
        for _ in 0..<20_000 {
            // Wide steps begin with texts of 128 bytes.
            let (good, long) = (random.index(below: 2) == 0, random.index(below: 3) == 0)
            let bytes = (0..<random.index(below: long ? 60 : 9)).flatMap { _ in
                pieces[random.index(below: good || random.index(below: long ? 40 : 1) > 0 ? 4 : pieces.count)]
            }
            for wideSteps in [true, false] {
                let found = bytes.withUnsafeBytes { UTF8Scan.firstInvalid($0, wideSteps: wideSteps) }
                #expect(found == Self.firstInvalid(bytes))
            }
            let newlines = bytes.map { $0 == 0x80 ? 10 : $0 }
            #expect(newlines.withUnsafeBytes { UTF8Scan.newlines($0) } == newlines.count { $0 == 10 })
        }
    }

    @Test func settingsOfOlderManifestsAreRead() throws {
        let old = Data("{\"textField\": \"text\", \"longestDocument\": 77, \"malformedLimit\": 0.5}".utf8)
        let settings = try JSONDecoder().decode(DocumentReader.Settings.self, from: old)
        #expect(settings == .init(longestDocument: 77, malformedLimit: 0.5))
        let other = DocumentReader.Settings(longestRecord: 5000, keepsDamagedFiles: true, standardInput: .lines)
        #expect(try JSONDecoder().decode(DocumentReader.Settings.self, from: JSONEncoder().encode(other)) == other)
        var report = DataReport()
        report.damaged = 3
        // Without an order of the keys the one that is taken out was the last in one process of ten, with no comma behind it.
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let text = String(decoding: try encoder.encode(report), as: UTF8.self)
        #expect(try JSONDecoder().decode(DataReport.self, from: Data(text.utf8)) == report)
        let older = text.replacing("\"damaged\":3,", with: "")
        #expect(older != text)
        #expect(try JSONDecoder().decode(DataReport.self, from: Data(older.utf8)) == DataReport())
        #expect(throws: DataError.self) { _ = try DocumentReader(.init(longestRecord: 1)) }
        #expect(throws: DataError.self) { _ = try DocumentReader(.init(standardInput: .parquet)) }
    }

    @Test func damagedFilesNeverCrash() throws {
        var random = Random(seed: 35)
        let names = ["compressed/members.jsonl.gz", "compressed/frames.jsonl.zst", "parquet/duckdb-v1.parquet"]
        for name in names {
            let good = try TemporaryFolder.read(TemporaryFolder.fixture(name))
            let reader = try DocumentReader(.init(malformedLimit: 1, keepsDamagedFiles: true))
            for _ in 0..<600 {
                var bytes = random.index(below: 3) == 0 ? Array(good.prefix(random.index(below: good.count))) : good
                for _ in 0..<random.index(below: 4) where !bytes.isEmpty {
                    bytes[random.index(below: bytes.count)] = UInt8(truncatingIfNeeded: random.next())
                }
                let path = try folder.write("f" + name.drop { $0 != "." }, bytes)
                do {
                    for unit in try reader.units(of: [path]) {
                        let reading = try read(reader, unit)
                        #expect(reading.texts.count == reading.report.documents && reading.texts.count < 1 << 16)
                    }
                } catch is FormatError {
                    // Missing columns and unknown codecs are no damage that could be passed over.
                    #expect(name.hasSuffix("parquet"))
                }
            }
        }
    }
}
