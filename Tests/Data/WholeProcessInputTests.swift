import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

/// Reading that is seen by the whole process: how much memory it takes at most, and standard input.
///
/// Each test runs in a process of its own. Beside other tests the memory that those took meanwhile counted as the reader's,
/// and where the runner had no standard input, a file that another test had just opened was descriptor 0.
@Suite struct WholeProcessInputTests {
    /// The most memory this process has held so far, in bytes. (What `getrusage` says on Linux includes the process that
    /// this one was started by.)
    private static func peak() throws -> Int {
        #if os(Linux)
            let file = try InputFile("/proc/self/status")
            var bytes = [UInt8](repeating: 0, count: 1 << 16)
            let count = try bytes.withUnsafeMutableBytes { try file.read(into: $0) }
            let lines = String(decoding: bytes[..<count], as: UTF8.self).split(separator: "\n")
            let line = try #require(lines.first { $0.hasPrefix("VmHWM:") })
            return try 1024 * #require(Int(line.filter(\.isNumber)))
        #else
            var usage = rusage()
            getrusage(RUSAGE_SELF, &usage)
            return Int(usage.ru_maxrss)
        #endif
    }

    /// Whether a sanitizer is part of this process: they keep several bytes for each one that is used.
    private static var isSanitized: Bool {
        #if os(Linux)
            ["__asan_init", "__tsan_init"].contains { (name: String) in dlsym(nil, name) != nil }
        #else
            false
        #endif
    }

    /// A line of a gigabyte is left out, a text of a gigabyte is cut.
    @Test func aDocumentOfAGigabyteTakesLittleMemory() async {
        await #expect(processExitsWith: .success) {
            let lines = TemporaryFolder.fixture("compressed/gigabyte.jsonl.zst")
            let before = try Self.peak()
            let reader = try DocumentReader()
            var (texts, records): ([String], [Int]) = ([], [])
            let found = try reader.read(#require(try reader.units(of: [lines]).first)) {
                texts.append(String(decoding: $0.bytes, as: UTF8.self))
                records.append($0.record)
            }.report
            #expect(texts == ["one", "two"] && records == [0, 2])
            #expect(found.malformed == 1 && found.records == 3 && found.findings.first?.line == 2)
            // A line is held up to 256 MiB.
            let line = try Self.peak() - before
            #expect(line < 320 << 20 || Self.isSanitized, "\(line) bytes")

            let folder = TemporaryFolder()
            let text = try folder.write("a.txt.zst", TemporaryFolder.read(lines))
            var (bytes, longest) = (0, 0)
            let report = try reader.read(#require(try reader.units(of: [text]).first)) {
                bytes += $0.bytes.count
                longest = max(longest, $0.bytes.count)
            }.report
            #expect(bytes > 1 << 30 && longest == 1 << 24 && report.records == 1 && report.cut == 1)
            #expect(report.documents == 65 && report.findings.count == 1)
            #expect(try Self.peak() - before == line || Self.isSanitized, "a text takes less than a line")
        }
    }

    /// Reads bytes through descriptor 0.
    private static func read(
        _ bytes: [UInt8], _ folder: TemporaryFolder, _ settings: DocumentReader.Settings = .init()
    ) throws -> [String] {
        let file = open(try folder.write("input", bytes), O_RDONLY)
        #expect(file >= 0)
        if file != 0 {
            #expect(dup2(file, 0) == 0)
            close(file)
        }
        defer { close(0) }
        var texts: [String] = []
        let (report, sources) = try DocumentReader(settings).read(["-"]) {
            texts.append(String(decoding: $0.bytes, as: UTF8.self))
        }
        #expect(report.files == 1 && sources.map(\.path) == ["-"])
        let checksum = RunChecksum(bytes: bytes.count, value: CRC32C.checksum(bytes))
        #expect(sources.first?.bytes == bytes.count && sources.first?.checksum == checksum.text)
        return texts
    }

    @Test func standardInputIsReadAsWhatItIs() async {
        await #expect(processExitsWith: .success) {
            let folder = TemporaryFolder()
            close(0)
            #expect(throws: FormatError.self, "closed") { _ = try DocumentReader().read(["-"]) { _ in } }
            func through(_ text: String, _ settings: DocumentReader.Settings = .init()) throws -> [String] {
                try Self.read(Array(text.utf8), folder, settings)
            }
            #expect(try through("just text\n") == ["just text\n"])
            #expect(try through("\n {\"text\": \"a\"}\n{\"text\": \"b\"}") == ["a", "b"])
            #expect(try through("{\"text\": \"a\"}", .init(standardInput: .text)) == ["{\"text\": \"a\"}"])
            for name in ["members.jsonl.gz", "frames.jsonl.zst"] {
                let bytes = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/\(name)"))
                #expect(try Self.read(bytes, folder).count == 60)
            }
            #expect(throws: DataError.self) { _ = try through("") }
        }
    }
}
