import Foundation
import GDNFormats
import GDNTestSupport
import Testing

@Suite struct OutputFileTests {
    /// `gdn score --output /dev/null`, run by root, once renamed its file over the device.
    @Test func whatIsNoFileIsWrittenToAndNotReplaced() throws {
        let folder = TemporaryFolder()
        let pipe = folder.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        let reader = open(pipe, O_RDONLY | O_NONBLOCK)
        defer { _ = close(reader) }
        try OutputFile.replace(pipe) { try $0.write([1, 2, 3]) }
        var bytes = [UInt8](repeating: 0, count: 8)
        #expect(read(reader, &bytes, 8) == 3 && bytes.starts(with: [1, 2, 3]))
        var status = stat()
        #expect(stat(pipe, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.root) == ["pipe"])
    }
}
