import GDNTensor

extension Tokenizer {
    /// The tokens of many texts, by several threads; the same as one by one, whatever the number of threads.
    /// - Parameters:
    ///   - texts: bytes that stay in place meanwhile; long ones are cut where that changes nothing (`cut(_:from:)`)
    ///   - specialTokens: what special tokens in them become
    ///   - threads: at most this many
    /// - Returns: for each text its tokens.
    public func encode(
        _ texts: [UnsafeRawBufferPointer], specialTokens: SpecialTokenHandling = .asText, threads: Int
    ) -> [[Int32]] {
        guard threads > 1 else {
            return texts.map { text in
                var tokens: [Int32] = []
                encode(text, specialTokens: specialTokens, into: &tokens)
                return tokens
            }
        }
        var chunks: [TextChunk] = []
        for (index, text) in texts.enumerated() {
            var start = 0
            while start < text.count {
                let end = start + TextChunk.length < text.count ? cut(text, from: start + TextChunk.length) : nil
                chunks.append(
                    TextChunk(text: index, bytes: UnsafeRawBufferPointer(rebasing: text[start..<(end ?? text.count)])))
                start = end ?? text.count
            }
        }
        // Short texts go together: a thread that came back for each line would mostly wait for the others.
        var groups: [Range<Int>] = []
        var (first, size) = (0, 0)
        for index in chunks.indices {
            size += chunks[index].bytes.count
            if size >= TextChunk.groupLength || index + 1 == chunks.count {
                groups.append(first..<index + 1)
                (first, size) = (index + 1, 0)
            }
        }
        let (results, work) = (ChunkResults(chunks), groups)
        concurrently(work.count, threads: threads) { group in
            for index in work[group] {
                results.set(index) { encode($0, specialTokens: specialTokens, into: &$1) }
            }
        }
        var tokens = [[Int32]](repeating: [], count: texts.count)
        for (chunk, part) in zip(chunks, results.take()) {
            if tokens[chunk.text].isEmpty { tokens[chunk.text] = part } else { tokens[chunk.text] += part }
        }
        return tokens
    }
}

/// A part of a text, for one thread at a time.
private struct TextChunk: @unchecked Sendable {
    /// Bytes from which on a cut is looked for.
    static let length = 1 << 19
    /// Bytes of text that a thread takes at a time, at least.
    static let groupLength = 1 << 17

    let text: Int
    let bytes: UnsafeRawBufferPointer
}

/// The tokens of each chunk; each place is written by one thread, and read when all have ended.
private final class ChunkResults: @unchecked Sendable {
    private let chunks: [TextChunk]
    private let places: UnsafeMutablePointer<[Int32]>

    init(_ chunks: [TextChunk]) {
        self.chunks = chunks
        places = .allocate(capacity: max(1, chunks.count))
        places.initialize(repeating: [], count: chunks.count)
    }

    deinit {
        places.deinitialize(count: chunks.count)
        places.deallocate()
    }

    func set(_ index: Int, _ encode: (UnsafeRawBufferPointer, inout [Int32]) -> Void) {
        encode(chunks[index].bytes, &places[index])
    }

    func take() -> [[Int32]] {
        (0..<chunks.count).map { index in
            let tokens = places[index]
            places[index] = []
            return tokens
        }
    }
}
