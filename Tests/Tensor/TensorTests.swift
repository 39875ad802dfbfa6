import GDNTensor
import Testing

@Suite struct DescriptorWriteTests {
    /// A pipe takes what it has room for, so the text goes out in many pieces.
    @Test func everythingGoesOut() async throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        let (reading, writing) = (ends[0], ends[1])
        let text = String(repeating: "0123456789", count: 30_000)
        let reader = Task.detached {
            var (bytes, buffer): ([UInt8], [UInt8]) = ([], [UInt8](repeating: 0, count: 5000))
            while case let count = read(reading, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
            return bytes
        }
        #expect(writeAll(text, to: writing) == 0)
        close(writing)
        #expect(await reader.value == Array(text.utf8))
        close(reading)
    }

    @Test func theErrorNumberComesBack() throws {
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        defer { close(full) }
        #expect(writeAll("", to: full) == 0)
        #expect(writeAll("x", to: full) == ENOSPC)
        #expect(writeAll("x", to: -1) == EBADF)
    }
}

@Suite struct TensorTests {
    @Test func bfloat16RoundsToNearestEven() {
        #expect(BFloat16(1.0).float == 1.0)
        #expect(BFloat16(Float(bitPattern: 0x3f80_8000)).bitPattern == 0x3f80)  // tie, even below
        #expect(BFloat16(Float(bitPattern: 0x3f81_8000)).bitPattern == 0x3f82)  // tie, even above
        #expect(BFloat16(Float(bitPattern: 0x3f80_8001)).bitPattern == 0x3f81)
        #expect(BFloat16(.nan).float.isNaN)
        #expect(BFloat16(.infinity).float == .infinity)
    }

    @Test func randomIsDeterminedBySeed() {
        var a = Random(seed: 7)
        var b = Random(seed: 7)
        var c = Random(seed: 8)
        let first = (0..<8).map { _ in a.next() }
        #expect(first == (0..<8).map { _ in b.next() })
        #expect(first != (0..<8).map { _ in c.next() })
    }

    @Test func normalHasUnitVariance() {
        var random = Random(seed: 1)
        let draws = (0..<20_000).map { _ in random.normal() }
        let mean = draws.reduce(0, +) / 20_000
        let variance = draws.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
        #expect(abs(mean) < 0.03)
        #expect(abs(variance - 1) < 0.05)
    }

    @Test func halfConversionCoversSubnormals() {
        #expect(halfToFloat(0x3c00) == 1)
        #expect(halfToFloat(0x0001) == 0x1p-24)
        #expect(halfToFloat(0xfc00) == -.infinity)
        #expect(halfToFloat(0x7e00).isNaN)
    }
}
