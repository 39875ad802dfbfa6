import GDNFormats
import Testing

@Suite struct ChecksumTests {
    /// The examples of FIPS 180-4 and one at each side of the padding's block boundary.
    @Test func sha256KnownAnswers() {
        let text = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        #expect(
            SHA256.digest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(
            SHA256.digest(Array("abc".utf8)) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            SHA256.digest(Array(text.utf8)) == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(
            SHA256.digest([UInt8](repeating: 0x61, count: 1_000_000))
                == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func sha256InPartsEqualsWhole() {
        let bytes = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        for cut in 0...bytes.count {
            var sum = SHA256()
            sum.update(Array(bytes[..<cut]))
            sum.update(Array(bytes[cut...]))
            #expect(sum.digest() == SHA256.digest(bytes))
        }
    }

    /// Values of the reference implementation, seed 0, whole and byte by byte.
    @Test func xxh64KnownAnswers() {
        let expected = [
            ("", "ef46db3751d8e999"), ("a", "d24ec4f1a98c6e5b"), ("abc", "44bc2cf5ad770999"),
            ("message digest", "066ed728fceeb3be"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "aaa46907d3047814"),
        ]
        for (text, checksum) in expected {
            var (whole, parts) = (XXH64(), XXH64())
            Array(text.utf8).withUnsafeBytes { whole.update($0) }
            for byte in text.utf8 { [byte].withUnsafeBytes { parts.update($0) } }
            #expect(whole.text == checksum)
            #expect(parts.text == checksum)
        }
    }

    /// With the processor's instructions and without; where it has none, these are the same.
    @Test func sha256IsTheSameInPlainC() {
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ 3) }
        for count in [0, 1, 55, 56, 63, 64, 65, 127, 128, 200, 1000] {
            var plain = SHA256(usingInstructions: false)
            plain.update(Array(bytes[..<count]))
            #expect(plain.digest() == SHA256.digest(Array(bytes[..<count])))
        }
        var plain = SHA256(usingInstructions: false)
        plain.update(Array("abc".utf8))
        #expect(plain.digest() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    /// The check value of the CRC catalogue; any length, so that the steps of eight bytes and the rest are met.
    @Test func crc32KnownAnswers() {
        #expect(Array("123456789".utf8).withUnsafeBytes { CRC32.checksum($0) } == 0xcbf4_3926)
        #expect([UInt8](repeating: 0, count: 32).withUnsafeBytes { CRC32.checksum($0) } == 0x190a_55ad)
        #expect([UInt8]().withUnsafeBytes { CRC32.checksum($0) } == 0)
    }

    /// The examples of RFC 3720, appendix B.4, and the check value of the CRC catalogue.
    @Test func crc32cKnownAnswers() {
        #expect(CRC32C.checksum(Array("123456789".utf8)) == 0xe306_9283)
        #expect(CRC32C.checksum([UInt8](repeating: 0, count: 32)) == 0x8a91_36aa)
        #expect(CRC32C.checksum([UInt8](repeating: 0xff, count: 32)) == 0x62a8_ab43)
        #expect(CRC32C.checksum((0..<32).map { UInt8($0) }) == 0x46dd_794e)
        #expect(CRC32C.checksum([]) == 0)
        var sum = CRC32C()
        sum.update(Array("12345".utf8))
        sum.update(Array("6789".utf8))
        #expect(sum.value == 0xe306_9283)
    }

    /// With the processor's instruction and without, in one piece and in several; where it has none, these are the same.
    @Test func crc32cIsTheSameWithoutTheInstruction() {
        let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* $0 &* 13 &+ $0 >> 7) }
        for count in [0, 1, 7, 8, 9, 63, 1000, (1 << 15) - 1, 1 << 15, 32_791, 100_003, bytes.count] {
            var plain = CRC32C(usingInstruction: false)
            plain.update(Array(bytes[..<count]))
            #expect(CRC32C.checksum(Array(bytes[..<count])) == plain.value, "\(count) bytes")
            var sum = CRC32C()
            for cut in [0..<count / 3, count / 3..<count] { sum.update(Array(bytes[cut])) }
            #expect(sum.value == plain.value, "\(count) bytes in two pieces")
        }
    }

    /// Checksums of two pieces give that of the whole, wherever it is cut.
    @Test func crc32cOfPiecesCombines() {
        let bytes = (0..<2000).map { UInt8(truncatingIfNeeded: $0 &* $0 &* 31 &+ $0 >> 3) }
        let whole = CRC32C.checksum(bytes)
        for cut in [0, 1, 2, 3, 7, 8, 255, 256, 1024, 1999, 2000] {
            let pieces = (CRC32C.checksum(Array(bytes[..<cut])), CRC32C.checksum(Array(bytes[cut...])))
            #expect(CRC32C.combined(pieces.0, pieces.1, count: bytes.count - cut) == whole, "cut at \(cut)")
        }
        let start = RunChecksum(bytes: 9, value: CRC32C.checksum(Array(bytes[..<9])))
        let end = RunChecksum(bytes: 1991, value: CRC32C.checksum(Array(bytes[9...])))
        #expect(start.joined(with: end) == RunChecksum(bytes: 2000, value: whole))
        #expect(RunChecksum().joined(with: start) == start && start.joined(with: RunChecksum()) == start)
        #expect(RunChecksum(bytes: 1, value: 0xabc).text == "crc32c:00000abc")
        let long = [UInt8](repeating: 9, count: 1 << 20)
        let sum = CRC32C.checksum(long)
        #expect(CRC32C.combined(sum, sum, count: long.count) == CRC32C.checksum(long + long))
    }
}
