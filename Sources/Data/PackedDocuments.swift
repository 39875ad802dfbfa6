import GDNFormats
import GDNFormatsKernels

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
        let limit = UInt32(clamping: vocabularySize)
        let areInside = tokens.withUnsafeBufferPointer { width == 2 ? appendHalves($0, limit) : appendWhole($0, limit) }
        guard areInside else { return false }
        lengths.append(tokens.count)
        self.textBytes.append(textBytes)
        return true
    }

    /// Appends tokens of two bytes, some hundred at a time; false, and nothing appended, when one is not below `limit`.
    private mutating func appendHalves(_ tokens: UnsafeBufferPointer<Int32>, _ limit: UInt32) -> Bool {
        let (step, before) = (1 << 11, bytes.count)
        return withUnsafeTemporaryAllocation(of: UInt16.self, capacity: step) { numbers in
            for start in stride(from: 0, to: tokens.count, by: step) {
                let count = min(step, tokens.count - start)
                let largest = gdn_narrow(tokens.baseAddress.map { $0 + start }, count, numbers.baseAddress)
                guard largest < limit else {
                    bytes.removeLast(bytes.count - before)
                    return false
                }
                #if _endian(big)
                    for index in 0..<count { numbers[index] = numbers[index].littleEndian }
                #endif
                bytes.append(contentsOf: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: numbers[..<count])))
            }
            return true
        }
    }

    /// Appends tokens of four bytes; false, and nothing appended, when one is not below `limit`.
    private mutating func appendWhole(_ tokens: UnsafeBufferPointer<Int32>, _ limit: UInt32) -> Bool {
        // As unsigned numbers negative ones are large: one maximum checks both ends.
        guard tokens.reduce(0, { max($0, UInt32(bitPattern: $1)) }) < limit else { return false }
        #if _endian(big)
            for token in tokens { withUnsafeBytes(of: token.littleEndian) { bytes.append(contentsOf: $0) } }
        #else
            bytes.append(contentsOf: UnsafeRawBufferPointer(tokens))
        #endif
        return true
    }

    /// Forgets the documents and keeps their memory.
    package mutating func clear() {
        bytes.removeAll(keepingCapacity: true)
        lengths.removeAll(keepingCapacity: true)
        textBytes.removeAll(keepingCapacity: true)
        checksum = 0
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
