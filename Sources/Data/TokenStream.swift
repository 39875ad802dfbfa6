import GDNFormats

/// The tokens of several files as one sequence, with the documents' boundaries.
public struct TokenStream: Sendable {
    /// Number of tokens.
    public let tokenCount: Int
    /// Number of documents; nil when only reading all tokens could tell (packed files).
    public let documentCount: Int?
    /// Bytes of text that the tokens stand for; nil when the files do not say (packed files).
    public let textBytes: Int?
    /// All tokens should be below this.
    public let vocabularySize: Int
    /// Names the content: a function of the files' checksums.
    public let identity: String
    package let segments: [any TokenSegment]
    private let starts: [Int]

    /// A sequence of shards.
    /// - Throws: `DataError` when there are none or they are of different tokenizers.
    public init(_ shards: [TokenShard]) throws { try self.init(segments: shards) }

    /// The streams one after another.
    /// - Throws: `DataError` when there are none or they are of different tokenizers.
    public init(joining streams: [TokenStream]) throws { try self.init(segments: streams.flatMap(\.segments)) }

    /// A sequence of files.
    /// - Throws: `DataError` when there are none or they are of different tokenizers.
    package init(segments: [any TokenSegment]) throws {
        guard let first = segments.first else {
            throw DataError("token shards", "there are none", advice: "prepare the data first")
        }
        let known = segments.first { $0.knownTokenizer != nil } ?? first
        for segment in segments {
            let isOther = segment.knownTokenizer.map { $0 != known.knownTokenizer } ?? false
            guard !isOther, segment.vocabularySize == first.vocabularySize else {
                throw DataError(
                    segment.path, "was made with another tokenizer than \(isOther ? known.path : first.path)",
                    advice: "prepare the data with one tokenizer")
            }
        }
        self.segments = segments
        var total = 0
        starts = segments.map { segment in
            defer { total += segment.tokenCount }
            return total
        }
        tokenCount = total
        documentCount = Self.sum(segments.map(\.knownDocuments))
        textBytes = Self.sum(segments.map(\.knownTextBytes))
        vocabularySize = first.vocabularySize
        let content = segments.map { "\($0.content)\n" }.joined()
        identity = String(SHA256.digest(Array(content.utf8)).prefix(16))
    }

    /// The tokens `range`.
    public func tokens(_ range: Range<Int>) -> [Int32] {
        // An array without room for anything is the one that all empty arrays of the process share; it is not written.
        if range.isEmpty { return [] }
        return Array(unsafeUninitializedCapacity: range.count) { buffer, count in
            forEachPart(of: range) { segment, part, offset in
                if let address = buffer.baseAddress { segment.copy(part, to: address + offset) }
            }
            count = range.count
        }
    }

    /// The places in `range` where a document begins, ascending.
    public func documentStarts(in range: Range<Int>) -> [Int] {
        var result: [Int] = []
        forEachPart(of: range) { segment, part, offset in
            let shift = range.lowerBound + offset - part.lowerBound
            result += segment.documentStarts(in: part).map { $0 + shift }
        }
        return result
    }

    /// Refuses tokens outside the vocabulary, which files that were not read in full may hold.
    /// - Parameter start: where in the stream the tokens come from
    /// - Throws: `FormatError` naming the file and the token.
    func check(_ tokens: [Int32], from start: Int) throws {
        let limit = Int32(clamping: vocabularySize)
        // A maximum of unsigned numbers: one comparison a token, and negative ones are large.
        let largest = tokens.reduce(0 as UInt32) { max($0, UInt32(bitPattern: $1)) }
        guard largest >= UInt32(bitPattern: limit) else { return }
        let place = tokens.firstIndex { $0 < 0 || $0 >= limit } ?? 0
        var found: FormatError?
        forEachPart(of: start + place..<start + place + 1) { segment, part, _ in
            found = FormatError(
                file: segment.path, part: "token \(part.lowerBound)",
                rule: "is \(tokens[place]), the vocabulary has \(vocabularySize)",
                advice: "the file is damaged or of another tokenizer")
        }
        if let found { throw found }
    }

    /// Calls with each file that has tokens of the range, which they are there, and where they come in the range.
    private func forEachPart(of range: Range<Int>, _ body: (any TokenSegment, Range<Int>, Int) -> Void) {
        precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount)
        var (low, high) = (0, segments.count - 1)
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= range.lowerBound { low = middle } else { high = middle - 1 }
        }
        var place = range.lowerBound
        while place < range.upperBound {
            let segment = segments[low]
            let end = min(range.upperBound, starts[low] + segment.tokenCount)
            if place < end { body(segment, place - starts[low]..<end - starts[low], place - range.lowerBound) }
            place = max(place, end)
            low += 1
        }
    }

    private static func sum(_ counts: [Int?]) -> Int? {
        counts.reduce(0 as Int?) { sum, count in sum.flatMap { sum in count.map { sum + $0 } } }
    }
}
