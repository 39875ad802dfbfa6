/// A file of tokens as a part of a stream: a token shard, or a packed file of the reference implementation.
package protocol TokenSegment: Sendable {
    /// The file.
    var path: String { get }
    /// Number of tokens.
    var tokenCount: Int { get }
    /// Number of documents; nil when only reading everything could tell.
    var knownDocuments: Int? { get }
    /// Bytes of text that the tokens stand for; nil when the file does not say.
    var knownTextBytes: Int? { get }
    /// All tokens should be below this.
    var vocabularySize: Int { get }
    /// Identity of the tokenizer; nil when the file does not say.
    var knownTokenizer: String? { get }
    /// Names the content.
    var content: String { get }

    /// Copies the tokens `range` to `destination`; what does not fit 32 bits becomes a number outside every vocabulary.
    func copy(_ range: Range<Int>, to destination: UnsafeMutablePointer<Int32>)

    /// The places in `range` where a document begins, ascending.
    func documentStarts(in range: Range<Int>) -> [Int]
}

extension TokenShard: TokenSegment {
    package var knownDocuments: Int? { documentCount }
    package var knownTextBytes: Int? { textBytes }
    package var knownTokenizer: String? { tokenizer }
    package var content: String { "\(tokenizer) \(tokenCount) \(checksum)" }

    package func documentStarts(in range: Range<Int>) -> [Int] {
        var result: [Int] = []
        var document = document(from: range.lowerBound)
        while document < documentCount, case let start = boundary(document), start < range.upperBound {
            result.append(start)
            document += 1
        }
        return result
    }
}
