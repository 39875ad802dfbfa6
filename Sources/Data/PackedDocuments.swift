import GDNFormats

/// Tokenised documents as the bytes that a shard stores: made on many threads, written by one.
package struct PackedDocuments: Sendable {
    /// The tokens, little-endian, `width` bytes each.
    package private(set) var bytes: [UInt8] = []
    /// Tokens of each document.
    package private(set) var lengths: [Int] = []
    /// Bytes of text of each document.
    package private(set) var textBytes: [Int] = []
    /// CRC-32C of `bytes`, once sealed.
    package private(set) var checksum: UInt32 = 0
    private let width: Int

    /// No documents yet.
    /// - Parameter width: bytes a token, 2 or 4
    package init(width: Int) {
        self.width = width
    }

    /// Tokens of all documents.
    package var tokenCount: Int { bytes.count / width }

    /// Appends a document; one without tokens leaves no trace.
    /// - Returns: false, and nothing appended, when a token is outside the vocabulary.
    package mutating func append(_ tokens: ArraySlice<Int32>, vocabularySize: Int, textBytes: Int) -> Bool {
        guard !tokens.isEmpty else { return true }
        // As unsigned numbers negative ones are large: one maximum checks both ends.
        let largest = tokens.withUnsafeBufferPointer { tokens in
            tokens.reduce(0 as UInt32) { max($0, UInt32(bitPattern: $1)) }
        }
        guard largest < UInt32(clamping: vocabularySize) else { return false }
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: tokens.count * width))
        bytes.withUnsafeMutableBytes { bytes in
            tokens.withUnsafeBufferPointer { tokens in
                if width == 2 {
                    for index in tokens.indices {
                        let token = UInt16(truncatingIfNeeded: tokens[index]).littleEndian
                        bytes.storeBytes(of: token, toByteOffset: start + 2 * index, as: UInt16.self)
                    }
                } else {
                    for index in tokens.indices {
                        bytes.storeBytes(
                            of: tokens[index].littleEndian, toByteOffset: start + 4 * index, as: Int32.self)
                    }
                }
            }
        }
        lengths.append(tokens.count)
        self.textBytes.append(textBytes)
        return true
    }

    /// Computes the checksum, when all documents are there.
    package mutating func seal() {
        checksum = CRC32C.checksum(bytes)
    }

    /// The documents `range`, sealed.
    package func part(_ range: Range<Int>) -> PackedDocuments {
        if range == 0..<lengths.count { return self }
        let start = lengths[..<range.lowerBound].reduce(0, +) * width
        let count = lengths[range].reduce(0, +) * width
        var part = PackedDocuments(width: width)
        part.bytes = Array(bytes[start..<start + count])
        part.lengths = Array(lengths[range])
        part.textBytes = Array(textBytes[range])
        part.seal()
        return part
    }
}
