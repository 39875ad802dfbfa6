import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

/// Damaged files are refused or read; they never end the program.
@Suite struct SafetensorsFuzzTests {
    let folder = TemporaryFolder()

    func example() throws -> [UInt8] {
        let path = folder.path("good.safetensors")
        try SafetensorsWriter.write(
            [
                "a": SafetensorsItem(floats: [1, 2, 3], shape: [3]),
                "b": SafetensorsItem(integers: [1, 2], shape: [1, 2]),
                "c": SafetensorsItem(bytes: [1, 2, 3, 4], dtype: .BF16, shape: [2]),
            ], metadata: ["format": "pt"], to: path)
        return try TemporaryFolder.read(path)
    }

    /// Opens the bytes and reads all tensors in every way; true when the file was accepted.
    func survives(_ bytes: [UInt8]) throws -> Bool {
        let path = try folder.write("fuzz.safetensors", bytes)
        guard let file = try? SafetensorsFile(path) else { return false }
        for name in file.names {
            _ = try? file.floats(of: name)
            _ = try? file.integers(of: name)
            _ = try? file.wideIntegers(of: name)
            _ = try? file.tensor(name).floatArray()
        }
        return true
    }

    @Test func everyTruncationIsRefused() throws {
        let bytes = try example()
        #expect(try survives(bytes))
        for count in 0..<bytes.count {
            #expect(try !survives(Array(bytes[..<count])), "accepted after \(count) of \(bytes.count) bytes")
        }
        #expect(try !survives(bytes + [0]))
    }

    @Test func everyBitFlipIsSurvived() throws {
        let bytes = try example()
        var accepted = 0
        for index in bytes.indices {
            for bit in 0..<8 {
                var flipped = bytes
                flipped[index] ^= 1 << UInt8(bit)
                if try survives(flipped) { accepted += 1 }
            }
        }
        // What is accepted are flips in data, names and metadata; the lengths, types and offsets are all checked.
        #expect(accepted >= 24 * 8 && accepted < bytes.count * 4)
    }

    @Test func randomHeadersAreSurvived() throws {
        var random = Random(seed: 9)
        let pieces = [
            "{", "}", "\"a\"", ":", ",", "\"dtype\"", "\"F32\"", "\"shape\"", "[", "]", "1", "-1", "4",
            "\"data_offsets\"",
            "0", "9223372036854775807", "1e9", "\"__metadata__\"", "null", "\\u0000",
        ]
        for _ in 0..<3000 {
            let header =
                "{" + (0..<random.index(below: 30)).map { _ in pieces[random.index(below: pieces.count)] }.joined()
            let length = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) }
            _ = try survives(length + Array(header.utf8) + [0, 0, 0, 0])
        }
        for _ in 0..<3000 {
            _ = try survives((0..<random.index(below: 64)).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
    }
}
