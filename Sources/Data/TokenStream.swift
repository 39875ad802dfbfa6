import GDNFormats

/// The tokens of several shards as one sequence, with the documents' boundaries.
public struct TokenStream: Sendable {
    /// Number of tokens.
    public let tokenCount: Int
    /// Number of documents.
    public let documentCount: Int
    /// Bytes of text that the tokens stand for.
    public let textBytes: Int
    /// All tokens are below this.
    public let vocabularySize: Int
    /// Names the content: a function of the shards' checksums.
    public let identity: String
    private let shards: [TokenShard]
    private let starts: [Int]

    /// A sequence of shards.
    /// - Throws: `DataError` when there are none or they are of different tokenizers.
    public init(_ shards: [TokenShard]) throws {
        guard let first = shards.first else {
            throw DataError("token shards", "there are none", advice: "prepare the data first")
        }
        for shard in shards where shard.tokenizer != first.tokenizer || shard.vocabularySize != first.vocabularySize {
            throw DataError(
                shard.path, "was made with another tokenizer than \(first.path)", advice: "prepare the data together")
        }
        self.shards = shards
        var total = 0
        starts = shards.map { shard in
            defer { total += shard.tokenCount }
            return total
        }
        tokenCount = total
        documentCount = shards.reduce(0) { $0 + $1.documentCount }
        textBytes = shards.reduce(0) { $0 + $1.textBytes }
        vocabularySize = first.vocabularySize
        let content = shards.map { "\($0.tokenizer) \($0.tokenCount) \($0.checksum)\n" }.joined()
        identity = String(SHA256.digest(Array(content.utf8)).prefix(16))
    }

    /// The tokens `range`.
    public func tokens(_ range: Range<Int>) -> [Int32] {
        // An array without room for anything is the one that all empty arrays of the process share; it is not written.
        if range.isEmpty { return [] }
        return Array(unsafeUninitializedCapacity: range.count) { buffer, count in
            forEachPart(of: range) { shard, part, offset in
                if let address = buffer.baseAddress { shard.copy(part, to: address + offset) }
            }
            count = range.count
        }
    }

    /// The places in `range` where a document begins, ascending.
    public func documentStarts(in range: Range<Int>) -> [Int] {
        var result: [Int] = []
        forEachPart(of: range) { shard, part, offset in
            var document = shard.document(from: part.lowerBound)
            while document < shard.documentCount, case let start = shard.boundary(document), start < part.upperBound {
                result.append(range.lowerBound + offset + start - part.lowerBound)
                document += 1
            }
        }
        return result
    }

    /// Calls with each shard that has tokens of the range, which they are there, and where they come in the range.
    private func forEachPart(of range: Range<Int>, _ body: (TokenShard, Range<Int>, Int) -> Void) {
        precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount)
        var (low, high) = (0, shards.count - 1)
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= range.lowerBound { low = middle } else { high = middle - 1 }
        }
        var place = range.lowerBound
        while place < range.upperBound {
            let shard = shards[low]
            let end = min(range.upperBound, starts[low] + shard.tokenCount)
            if place < end { body(shard, place - starts[low]..<end - starts[low], place - range.lowerBound) }
            place = max(place, end)
            low += 1
        }
    }
}

extension TokenStream {
    /// Windows of `length` inputs and as many targets, packed into a batch: window `w` has the tokens
    /// `starts[w] ..< starts[w] + length` and predicts each one's successor.
    /// - Parameters:
    ///   - starts: first tokens; each with `length` more behind it
    ///   - length: tokens a row T
    ///   - resets: state restarts where a document begins; what crosses such a place is not predicted
    func batch(starts: [Int], length: Int, resets: Bool) -> Batch {
        var tokens: [Int32] = []
        var targets: [Int32] = []
        var sequences: [Int32] = []
        tokens.reserveCapacity(starts.count * length)
        targets.reserveCapacity(starts.count * length)
        for (row, start) in starts.enumerated() {
            let window = self.tokens(start..<start + length + 1)
            tokens += window[..<length]
            targets += window[1...]
            guard resets else { continue }
            sequences.append(Int32(row * length))
            for document in documentStarts(in: start + 1..<start + length + 1) {
                let place = row * length + document - start
                targets[place - 1] = Batch.ignoredTarget
                if document < start + length { sequences.append(Int32(place)) }
            }
        }
        sequences.append(Int32(starts.count * length))
        return Batch(
            rows: starts.count, length: length, tokens: tokens, targets: targets, sequences: resets ? sequences : nil)
    }
}
