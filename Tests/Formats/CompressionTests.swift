import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

/// Gives bytes in pieces of random sizes.
final class PieceStream: ByteStream {
    private let bytes: [UInt8]
    private var index = 0
    private var random: Random

    init(_ bytes: [UInt8], seed: UInt64) {
        self.bytes = bytes
        random = Random(seed: seed)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, bytes.count - index, 1 + random.index(below: 40))
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]).copyBytes(from: bytes[index..<index + count])
        index += count
        return count
    }
}

@Suite struct CompressionTests {
    let folder = TemporaryFolder()

    /// Everything the stream gives, and whether it ended well; read into buffers of random sizes.
    func drain(_ stream: any ByteStream, seed: UInt64, most: Int = 1 << 20) throws -> (bytes: [UInt8], isDamaged: Bool)
    {
        var random = Random(seed: seed)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 200)
        do {
            while bytes.count < most {
                let room = 1 + random.index(below: 200)
                let count = try buffer.withUnsafeMutableBytes {
                    try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<room]))
                }
                if count == 0 { return (bytes, false) }
                bytes += buffer[..<count]
            }
            return (bytes, false)
        } catch is DamagedInput {
            return (bytes, true)
        }
    }

    func decompress(_ bytes: [UInt8], _ name: String, seed: UInt64 = 1) throws -> (bytes: [UInt8], isDamaged: Bool) {
        let kind: Compression = name.hasSuffix("gz") ? .gzip : .zstandard
        return try drain(kind.decompressed(PieceStream(bytes, seed: seed), path: name), seed: seed)
    }

    static let lines = (0..<60).map {
        "{\"text\": \"document \($0) \(String(repeating: "again and ", count: $0 % 7))\"}\n"
    }
    static let files = ["members.jsonl.gz", "frames.jsonl.zst"]

    @Test(arguments: files) func membersAndFramesAreJoined(_ name: String) throws {
        let bytes = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/\(name)"))
        for seed in 0..<50 {
            let result = try decompress(bytes, name, seed: UInt64(seed))
            #expect(result.bytes == Array(Self.lines.joined().utf8) && !result.isDamaged)
        }
        bytes.prefix(4).withUnsafeBytes { magic in
            #expect(Compression(magic: magic) == (name.hasSuffix("gz") ? .gzip : .zstandard))
        }
    }

    /// A file that is cut anywhere inside a member or frame is damaged, and what comes before is right.
    @Test(arguments: files) func everyTruncationIsNoticed(_ name: String) throws {
        let bytes = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/\(name)"))
        let whole = Array(Self.lines.joined().utf8)
        var good: [Int] = []
        for count in 0..<bytes.count {
            let result = try decompress(Array(bytes[..<count]), name, seed: UInt64(count))
            #expect(whole.starts(with: result.bytes))
            if !result.isDamaged { good.append(result.bytes.count) }
        }
        // Between members and frames a file may end: nothing tells that something is missing.
        let ends = [0, 7, 41, 60].map { Self.lines[..<$0].joined().utf8.count }
        #expect(good.allSatisfy { ends.contains($0) })
        #expect(good.count < 30)
    }

    @Test(arguments: files) func damageIsSurvivedAndMostlyNoticed(_ name: String) throws {
        let bytes = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/\(name)"))
        let whole = Array(Self.lines.joined().utf8)
        var random = Random(seed: 3)
        var (wrong, rounds) = (0, 0)
        for index in bytes.indices {
            for _ in 0..<4 {
                var mutated = bytes
                mutated[index] ^= 1 << UInt8(random.index(below: 8))
                if random.index(below: 4) == 0 { mutated.remove(at: random.index(below: mutated.count)) }
                let result = try decompress(mutated, name, seed: UInt64(rounds))
                #expect(result.bytes.count < 1 << 20)
                if !result.isDamaged, result.bytes != whole { wrong += 1 }
                rounds += 1
            }
        }
        // Checksums find nearly all; a changed header can turn a frame into a skippable one.
        #expect(wrong * 50 < rounds)
    }

    @Test func whatIsNoCompressedFileIsRefused() throws {
        let gzip = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/members.jsonl.gz"))
        for (bytes, name) in [
            ([], "a.gz"), ([], "a.zst"), (Array("plain".utf8), "a.gz"), (Array("plain".utf8), "a.zst"),
            (gzip + Array("more".utf8), "a.gz"), ([UInt8](repeating: 0, count: 9), "a.gz"),
        ] {
            #expect(try decompress(bytes, name).isDamaged)
        }
        let window = try TemporaryFolder.read(TemporaryFolder.fixture("compressed/window.jsonl.zst"))
        #expect(try decompress(window, "window.zst").isDamaged)
    }

    @Test func missingLibrariesAreNamed() throws {
        let error = #expect(throws: FormatError.self) {
            _ = try CodecLibrary(["libabsent.so.9"], purpose: "gzip", remedy: "install it", file: "a.gz")
        }
        #expect(error?.description == "a.gz: gzip needs libabsent.so.9, which is not installed; install it")
    }

    @Test func inputFilesAreReadInOrderAndAnywhere() throws {
        let path = try folder.write("a", Array(0...255))
        let file = try InputFile(path, summing: 0..<Int.max)
        #expect(try drain(file, seed: 1).bytes == Array(0...255))
        #expect(file.bytesRead == 256 && file.size == 256)
        #expect(file.checksum == RunChecksum(bytes: 256, value: CRC32C.checksum(Array(0...255))))
        #expect(try RunChecksum(of: path) == file.checksum)
        for (start, summed) in [(0, 3..<200), (50, 40..<60), (100, 100..<300), (7, 7..<7), (200, 3..<9)] {
            let part = try InputFile(path, from: start, summing: summed)
            _ = try drain(part, seed: 2)
            let seen = (0...255).filter { $0 >= start && summed.contains($0) }.map { UInt8($0) }
            #expect(part.checksum == RunChecksum(bytes: seen.count, value: CRC32C.checksum(seen)))
        }
        #expect(try drain(InputFile(path, from: 250), seed: 1).bytes == Array(250...255))
        var bytes = [UInt8](repeating: 0, count: 4)
        try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 252) }
        #expect(bytes == [252, 253, 254, 255])
        #expect(throws: FormatError.self) { try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 253) } }
        #expect(throws: FormatError.self) { _ = try InputFile(folder.path("absent")) }
    }

    @Test func peekedBytesAreReadAgain() throws {
        let bytes = (0..<300).map { UInt8($0 & 0xff) }
        for count in [0, 1, 7, 100, 299, 300, 400] {
            let stream = PeekableStream(PieceStream(bytes, seed: 5), path: "")
            #expect(try stream.peek(count).elementsEqual(bytes.prefix(count)))
            #expect(try stream.peek(count).elementsEqual(bytes.prefix(count)))
            #expect(try drain(stream, seed: 6).bytes == bytes)
        }
    }
}

@Suite struct SnappyTests {
    /// Decompresses between guard bytes; nil when the block is refused.
    func decode(_ block: [UInt8], _ size: Int) -> [UInt8]? {
        var output = [UInt8](repeating: 0xa5, count: size + 64)
        let failure = output.withUnsafeMutableBytes { output in
            block.withUnsafeBytes {
                Snappy.decode($0, into: UnsafeMutableRawBufferPointer(rebasing: output[32..<32 + size]))
            }
        }
        #expect(output.prefix(32).allSatisfy { $0 == 0xa5 } && output.suffix(32).allSatisfy { $0 == 0xa5 })
        return failure == nil ? Array(output[32..<32 + size]) : nil
    }

    @Test func elementsAreDecoded() {
        #expect(decode([0], 0) == [])
        #expect(decode([3, 2 << 2, 1, 2, 3], 3) == [1, 2, 3])
        // A literal whose length is in a byte of its own; a copy of 4 + 1 from 1 back; one from 2 back with 16 bits.
        #expect(decode([62, 60 << 2, 61] + [UInt8](0..<62), 62) == [UInt8](0..<62))
        #expect(decode([6, 0, 7, 1 << 2 | 1, 1], 6) == [7, 7, 7, 7, 7, 7])
        #expect(decode([8, 1 << 2, 1, 2, 5 << 2 | 2, 2, 0], 8) == [1, 2, 1, 2, 1, 2, 1, 2])
        #expect(decode([8, 1 << 2, 1, 2, 5 << 2 | 3, 2, 0, 0, 0], 8) == [1, 2, 1, 2, 1, 2, 1, 2])
    }

    @Test func brokenBlocksAreRefused() {
        for (block, size) in [
            ([], 0), ([0x80], 0), ([0xff, 0xff, 0xff, 0xff, 0xff, 1], 1), ([2, 0, 1], 1), ([2, 0, 1], 2),
            ([2, 1 << 2, 1], 2), ([1, 1 << 2, 1, 2], 1), ([4, 1, 1], 4), ([5, 0, 1, 1, 0], 5), ([5, 0, 1, 1, 2], 5),
            ([3, 0, 1, 1, 1], 3), ([1, 60 << 2], 1), ([1, 63 << 2, 255, 255, 255, 255], 1), ([2, 0, 1, 2], 2),
            ([2, 0, 1, 3, 0, 0, 0], 2),
        ] as [([UInt8], Int)] {
            #expect(decode(block, size) == nil, "\(block)")
        }
    }

    /// Random elements, coded here, come out as a plain copy loop has them.
    @Test func randomBlocksAreDecodedAndMutatedOnesSurvived() {
        var random = Random(seed: 8)
        for _ in 0..<3000 {
            var (expected, body): ([UInt8], [UInt8]) = ([], [])
            for _ in 0..<random.index(below: 30) {
                if expected.isEmpty || random.index(below: 3) == 0 {
                    let literal = (0...random.index(below: 60)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
                    body += [UInt8(literal.count - 1) << 2] + literal
                    expected += literal
                } else {
                    let distance = 1 + random.index(below: expected.count)
                    let count = 1 + random.index(below: 64)
                    body += [UInt8(count - 1) << 2 | 2, UInt8(distance & 0xff), UInt8(distance >> 8)]
                    for _ in 0..<count { expected.append(expected[expected.count - distance]) }
                }
            }
            var length = expected.count
            var block: [UInt8] = []
            while length > 127 {
                block.append(UInt8(length & 127 | 128))
                length >>= 7
            }
            block += [UInt8(length)] + body
            #expect(decode(block, expected.count) == expected)
            for _ in 0..<4 {
                var mutated = block
                for _ in 0...random.index(below: 3) {
                    mutated[random.index(below: mutated.count)] = UInt8(truncatingIfNeeded: random.next())
                }
                _ = decode(mutated, expected.count)
                _ = decode(Array(block.prefix(random.index(below: block.count))), expected.count)
            }
        }
    }
}
