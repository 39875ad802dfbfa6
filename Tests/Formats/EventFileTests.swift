import GDNFormats
import GDNTestSupport
import Testing

@Suite struct EventFileTests {
    let folder = TemporaryFolder()

    /// The bytes that TensorBoard 2.21's own protocol buffers and record checksums give for these events.
    static let expected = """
        1800000000000000a37f4b220900002040fc54d9411a0d627261696e2e4576656e743a322b3531103100000000000000\
        9d8383e90900005040fc54d94110ac022a230a0b0a046c6f737315000020400a140a0d747261696e2f6772c3b6c39f65\
        15cdccccbd3f6a999d39000000000000008b0737f10900008040fc54d94110ad022a2b0a290a0773616d706c65734214\
        0807120412020801420a4f202a526f6d656f2a0a4a080a060a0474657874c86a8535
        """

    @Test func bytesAreTensorBoardsOwn() throws {
        let events = try EventFile(folder: folder.root, time: 1_700_000_000.5, suffix: "0")
        try events.write(scalars: [("loss", 2.5), ("train/größe", -0.1)], step: 300, time: 1_700_000_001.25)
        try events.write(scalars: [], step: 300, time: 1_700_000_001.25)
        try events.write(text: "O *Romeo*\n", tag: "samples", step: 301, time: 1_700_000_002)
        try events.finish()
        #expect(events.path.hasPrefix("\(folder.root)/events.out.tfevents.1700000000."))
        let hex = try TemporaryFolder.read(events.path).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        #expect(hex == Self.expected)
    }

    @Test func missingFolderIsNamed() {
        let path = folder.path("absent")
        let error = #expect(throws: FormatError.self) { try EventFile(folder: path, time: 0) }
        #expect(error?.file.hasPrefix(path) == true)
    }
}
