import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

/// Damaged Parquet files are refused or read; they never end the program, and never take long. That good ones are read as
/// they were written is shown by `InteropInputTests`.
@Suite struct ParquetTests {
    let folder = TemporaryFolder()

    static let fixtures = [
        "dictionary-none-v1", "dictionary-snappy-v1", "dictionary-gzip-v2", "dictionary-zstd-v2", "dictionary-none-v2",
        "plain-v1-optional", "plain-v2-required", "delta_length_byte_array-v1-optional",
        "delta_length_byte_array-v2-required", "delta_byte_array-v1-required", "delta_byte_array-v2-optional",
        "duckdb-v1", "duckdb-v2",
    ]

    func bytes(_ name: String) throws -> [UInt8] {
        try TemporaryFolder.read(TemporaryFolder.fixture("parquet/\(name).parquet"))
    }

    /// Texts of all rows, nil for nulls; throws what reading throws.
    func rows(_ path: String, longestPage: Int = 1 << 20) throws -> [[UInt8]?] {
        let column = try ParquetTextColumn(path, column: "text", longestPage: longestPage)
        var rows: [[UInt8]?] = []
        for group in column.rows.indices {
            try column.read(rowGroup: group) { _, value in
                if case .text(let bytes) = value { rows.append(Array(bytes)) } else { rows.append(nil) }
            }
        }
        return rows
    }

    /// Whether a file of these bytes is accepted; any error but those of the format is one of the test.
    func isAccepted(_ bytes: [UInt8]) throws -> Bool {
        let path = try folder.write("fuzz.parquet", bytes)
        do {
            #expect(try rows(path).count < 1 << 20)
            return true
        } catch is DamagedInput {
            return false
        } catch is FormatError {
            return false
        }
    }

    @Test(arguments: fixtures) func everyTruncationIsRefused(_ name: String) throws {
        let bytes = try bytes(name)
        #expect(try isAccepted(bytes))
        for count in 0..<bytes.count { #expect(try !isAccepted(Array(bytes[..<count]))) }
    }

    @Test(arguments: fixtures) func everyChangedByteIsSurvived(_ name: String) throws {
        let bytes = try bytes(name)
        var random = Random(seed: 21)
        for index in bytes.indices {
            for _ in 0..<3 {
                var mutated = bytes
                mutated[index] =
                    random.index(below: 2) == 0
                    ? UInt8(truncatingIfNeeded: random.next()) : mutated[index] ^ 1 << UInt8(random.index(below: 8))
                _ = try isAccepted(mutated)
            }
        }
    }

    @Test(arguments: fixtures) func severalChangesAreSurvived(_ name: String) throws {
        let bytes = try bytes(name)
        var random = Random(seed: 22)
        for _ in 0..<1000 {
            var mutated = bytes
            for _ in 0...random.index(below: 4) {
                let place = random.index(below: mutated.count)
                switch random.index(below: 4) {
                case 0: mutated[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: mutated[place] = 0xff
                case 2 where mutated.count > 20: mutated.remove(at: place)
                default: mutated.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                }
            }
            _ = try isAccepted(mutated)
        }
    }

    /// Every page of these files has a checksum: no change of a page's bytes goes unnoticed.
    @Test(arguments: ["dictionary-none-v1", "dictionary-none-v2"]) func checksumsAreCompared(_ name: String) throws {
        let bytes = try bytes(name)
        let good = try rows(folder.write("good.parquet", bytes))
        let text = Array("second".utf8)
        let place = try #require(bytes.indices.first { bytes[$0...].starts(with: text) })
        for index in place..<place + 30 {
            var mutated = bytes
            mutated[index] ^= 1
            let path = try folder.write("fuzz.parquet", mutated)
            let error = #expect(throws: DamagedInput.self) { _ = try rows(path) }
            #expect(error?.error.rule == "the checksum does not fit")
            #expect(error?.error.part == "row group 0, column text, page 0")
        }
        #expect(good.count == 30)
    }

    @Test func rowsCanBePassedOver() throws {
        for name in Self.fixtures {
            let path = TemporaryFolder.fixture("parquet/\(name).parquet")
            let column = try ParquetTextColumn(path, column: "text", longestPage: 1 << 20)
            let whole = try rows(path)
            var before = 0
            for (group, count) in column.rows.enumerated() {
                for first in 0...count + 1 {
                    var numbers: [Int] = []
                    try column.read(rowGroup: group, from: first) { row, value in
                        numbers.append(row)
                        if case .text(let bytes) = value {
                            #expect(whole[before + row].map { bytes.elementsEqual($0) } == true)
                        } else {
                            #expect(whole[before + row] == nil)
                        }
                    }
                    #expect(numbers == Array(min(first, count)..<count))
                }
                before += count
            }
            #expect(before == whole.count && before == 30)
        }
    }

    @Test func longPagesAreNotLoaded() throws {
        let path = TemporaryFolder.fixture("parquet/plain-v1-required.parquet")
        let column = try ParquetTextColumn(path, column: "text", longestPage: 60)
        var (long, read) = (0, 0)
        for group in column.rows.indices {
            try column.read(rowGroup: group) { _, value in
                if case .tooLong(let bytes) = value {
                    #expect(bytes > 60)
                    long += 1
                } else {
                    read += 1
                }
            }
        }
        #expect(long > 0 && read > 0 && long + read == 30)
        let dictionary = TemporaryFolder.fixture("parquet/dictionary-none-v1.parquet")
        #expect(throws: FormatError.self) { _ = try rows(dictionary, longestPage: 30) }
    }

    @Test func whatIsNotReadIsSaid() throws {
        let fixture = TemporaryFolder.fixture("parquet/dictionary-zstd-v1.parquet")
        func message(_ column: String, _ path: String) -> String {
            let error = #expect(throws: FormatError.self) {
                let column = try ParquetTextColumn(path, column: column, longestPage: 1 << 20)
                try column.read(rowGroup: 0) { _, _ in }
            }
            return error?.description.replacing(path, with: "FILE") ?? ""
        }
        #expect(message("absent", fixture) == "FILE: has no column absent; its columns of texts are text")
        #expect(message("tags", fixture) == "FILE: column tags is nested; name a column of texts")
        #expect(message("score", fixture) == "FILE: column score holds FLOAT, not texts; name a column of texts")
        #expect(
            message("text", TemporaryFolder.fixture("parquet/refused-brotli.parquet"))
                == "FILE: row group 0, column text: compression BROTLI is not read; write the file again with zstd, "
                + "snappy, gzip or none")
        let text = try folder.write("a.parquet", "{\"text\": \"no Parquet\"}")
        let error = #expect(throws: DamagedInput.self) { _ = try rows(text) }
        #expect(error?.description.contains("does not end with PAR1") == true)
    }
}
