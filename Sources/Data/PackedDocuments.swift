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
        tokens.withUnsafeBufferPointer { tokens in
            width == 2 ? append(tokens, as: UInt16.self) : append(tokens, as: UInt32.self)
        }
        lengths.append(tokens.count)
        self.textBytes.append(textBytes)
        return true
    }

    /// Appends tokens as numbers of `width` bytes, some hundred at a time.
    private mutating func append<Number: FixedWidthInteger>(_ tokens: UnsafeBufferPointer<Int32>, as _: Number.Type) {
        let step = 512
        withUnsafeTemporaryAllocation(of: Number.self, capacity: step) { numbers in
            for start in stride(from: 0, to: tokens.count, by: step) {
                let count = min(step, tokens.count - start)
                for index in 0..<count {
                    numbers[index] = Number(truncatingIfNeeded: tokens[start + index]).littleEndian
                }
                bytes.append(contentsOf: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: numbers[..<count])))
            }
        }
    }

    /// Makes room for so many tokens.
    package mutating func reserve(_ tokens: Int) { bytes.reserveCapacity(tokens * width) }

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
