import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

/// Files that pyarrow, DuckDB, gzip and zstandard wrote, read here: `Interop/python/write_inputs.py` makes them, and beside
/// each says what should come out.
@Suite struct InteropInputTests {
    /// What `NAME.expected` says: rows, texts that are not empty, SHA-256 over those; or `refused`.
    static func outcome(_ path: String) -> String {
        var sum = SHA256()
        var texts = 0
        do {
            let reader = try DocumentReader(.init(longestDocument: 1 << 27))
            var rows = 0
            for unit in try reader.units(of: [path]) {
                rows += try reader.read(unit) { document in
                    texts += 1
                    sum.update(withUnsafeBytes(of: UInt64(document.bytes.count).littleEndian) { Array($0) })
                    sum.update(document.bytes)
                }.report.records
            }
            return "\(rows) \(texts) \(sum.digest())"
        } catch {
            return "refused"
        }
    }

    static func check(_ folder: String) throws -> Int {
        var files = 0
        guard let stream = opendir(folder) else { throw FormatError.system("opendir", file: folder) }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.hasSuffix(".expected") else { continue }
            let path = "\(folder)/\(name.dropLast(9))"
            let expected = String(decoding: try TemporaryFolder.read("\(folder)/\(name)").dropLast(), as: UTF8.self)
            #expect(outcome(path) == expected, "\(path)")
            files += 1
        }
        return files
    }

    @Test func fixturesAreReadAsWritten() throws {
        #expect(try Self.check(TemporaryFolder.fixture("parquet")) == 23)
        #expect(try Self.check(TemporaryFolder.fixture("compressed")) == 4)
    }

    @Test(.enabled(if: getenv("GDN_INTEROP_INPUTS") != nil))
    func filesOfOtherProgramsAreReadAsWritten() throws {
        let folder = String(cString: try #require(getenv("GDN_INTEROP_INPUTS")))
        #expect(try Self.check(folder) > 0)
    }
}
