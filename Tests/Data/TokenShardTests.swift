import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct TokenShardTests {
    let folder = TemporaryFolder()
    static let identity = String(repeating: "0f", count: 32)

    func shard(_ documents: [[Int32]], vocabulary: Int = 300, name: String = "a.tokens") throws -> String {
        let writer = try TokenShardWriter(folder.path(name), vocabularySize: vocabulary, tokenizer: Self.identity)
        for document in documents { try writer.append(document, textBytes: document.count) }
        try writer.finish()
        return folder.path(name)
    }

    @Test(arguments: [300, 1 << 16, 1 << 16 + 1])
    func writtenShardReadsBack(_ vocabulary: Int) throws {
        let last = Int32(vocabulary - 1)
        let path = try shard([[1, 2, last], [], [4], [5, 6]], vocabulary: vocabulary)
        let shard = try TokenShard(path)
        #expect(shard.tokenCount == 6 && shard.documentCount == 3 && shard.textBytes == 6)
        #expect(shard.vocabularySize == vocabulary && shard.tokenizer == Self.identity)
        let stream = try TokenStream([shard])
        #expect(stream.tokens(0..<6) == [1, 2, last, 4, 5, 6])
        #expect(stream.tokens(2..<4) == [last, 4] && stream.tokens(3..<3) == [])
        #expect(stream.documentStarts(in: 0..<6) == [0, 3, 4])
        #expect(stream.documentStarts(in: 1..<4) == [3] && stream.documentStarts(in: 5..<6) == [])
        let again = try self.shard([[1, 2, last], [4], [5, 6]], vocabulary: vocabulary, name: "b.tokens")
        #expect(try TemporaryFolder.read(path) == TemporaryFolder.read(again))
    }

    @Test func streamsJoinShards() throws {
        let documents: [[Int32]] = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]
        let paths = try documents.enumerated().map { try shard([$1], name: "\($0).tokens") }
        let stream = try TokenStream(paths.map { try TokenShard($0) })
        let whole = try TokenStream([TokenShard(shard(documents))])
        for low in 0...10 {
            for high in low...10 {
                #expect(stream.tokens(low..<high) == whole.tokens(low..<high))
                #expect(stream.documentStarts(in: low..<high) == whole.documentStarts(in: low..<high))
            }
        }
        #expect(stream.identity != whole.identity)
        #expect(throws: DataError.self) { try TokenStream([]) }
        let other = try TokenShard(shard([[1]], vocabulary: 301, name: "other.tokens"))
        #expect(throws: DataError.self) { try TokenStream([TokenShard(paths[0]), other]) }
    }

    @Test func foreignTokensAreRefusedAndLeaveNothing() throws {
        let path = folder.path("a.tokens")
        let writer = try TokenShardWriter(path, vocabularySize: 10, tokenizer: Self.identity)
        #expect(throws: FormatError.self) { try writer.append([1, 10], textBytes: 2) }
        #expect(throws: FormatError.self) { try writer.append([-1], textBytes: 1) }
        #expect(throws: FormatError.self) { try TokenShard(path) }
        #expect(throws: FormatError.self) { try TokenShardWriter(path, vocabularySize: 10, tokenizer: "é") }
    }

    /// Every bit counts: no shortened, lengthened or altered shard is accepted.
    @Test func damageIsAlwaysNoticed() throws {
        let bytes = try TemporaryFolder.read(shard([[1, 2, 3], [4], [5, 6, 7]]))
        for count in 0..<bytes.count {
            let path = try folder.write("f.tokens", Array(bytes[..<count]))
            #expect(throws: FormatError.self) { try TokenShard(path) }
        }
        for index in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[index] ^= 1 << UInt8(bit)
                let path = try folder.write("f.tokens", flipped)
                #expect(throws: FormatError.self, "bit \(bit) of byte \(index)") { try TokenShard(path) }
            }
        }
        let longer = try folder.write("f.tokens", bytes + [0])
        #expect(throws: FormatError.self) { try TokenShard(longer) }
    }

    /// Headers with a right checksum and senseless counts: the sizes must be checked without overflow.
    @Test func senselessCountsAreRefused() throws {
        let bytes = try TemporaryFolder.read(shard([[1, 2, 3]]))
        var random = Random(seed: 8)
        for _ in 0..<3000 {
            var header = Array(bytes[..<92])
            let field = [8, 12, 16, 24, 32][random.index(below: 5)]
            for offset in 0..<random.index(below: 8) + 1 {
                header[field + offset] = UInt8(truncatingIfNeeded: random.next())
            }
            guard header != Array(bytes[..<92]), header[32..<40] == bytes[32..<40] else { continue }
            let sum = withUnsafeBytes(of: CRC32C.checksum(header).littleEndian) { Array($0) }
            let path = try folder.write("f.tokens", header + sum + bytes[96...])
            #expect(throws: FormatError.self) { try TokenShard(path) }
        }
    }
}
