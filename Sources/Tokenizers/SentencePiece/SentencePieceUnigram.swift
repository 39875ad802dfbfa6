/// Cuts uniform text into the pieces whose scores have the greatest sum (Viterbi, as SentencePiece does it).
///
/// The sums are rounded exactly as there, to Float after each piece, and the first of equal ones stays. Wherever no piece reaches over a place, all that lies before it is
/// settled and given out, so that memory follows the longest word and not the text.
struct SentencePieceUnigram: Sendable {
    private let trie: ByteTrie
    /// By token.
    private let scores: [Float]
    private let types: [SentencePieceModel.PieceType]
    private let unknownScore: Float
    private let unknown: Int32
    private let byteTokens: [Int32]
    /// Sums below this are made smaller by subtraction.
    private static let lowest: Float = -100_000

    /// The best way to a place.
    struct Step {
        var score: Float
        /// Where the last piece begins; -1 when no piece ends here yet.
        var start: Int32
        var token: Int32
    }

    init(_ model: SentencePieceModel, unknown: Int32, byteTokens: [Int32]) {
        let texts = model.pieces.enumerated().filter { [.normal, .userDefined, .unused].contains($1.type) }
        trie = ByteTrie(texts.map { ($1.text, Int32($0)) })
        scores = model.pieces.map(\.score)
        types = model.pieces.map(\.type)
        let normal = model.pieces.filter { $0.type == .normal }.map(\.score)
        unknownScore = (normal.min() ?? Float.greatestFiniteMagnitude) - 10
        self.unknown = unknown
        self.byteTokens = byteTokens
    }

    /// Appends the tokens of a text.
    func encode(_ text: borrowing ByteBuffer, _ steps: inout [Step], into output: inout TokenBuffer) {
        let (base, count) = (UnsafePointer(text.base), text.count)
        var (begin, score) = (0, Float(0))
        while begin < count {
            let end = extend(base, begin, count, score, &steps)
            score = steps[end - begin].score
            appendTokens(base + begin, end - begin, steps, into: &output)
            begin = end
        }
    }

    /// Finds the best ways from `begin` to the first place that no piece reaches over.
    private func extend(
        _ text: UnsafePointer<UInt8>, _ begin: Int, _ count: Int, _ score: Float, _ steps: inout [Step]
    ) -> Int {
        steps.removeAll(keepingCapacity: true)
        steps.append(Step(score: score, start: 0, token: -1))
        return trie.nodes.withUnsafeBufferPointer { nodes in
            var start = begin
            repeat {
                let length = min(SentencePieceSymbols.length(text[start]), count - start)
                if steps[start - begin].score < Self.lowest { rebase(&steps, from: start - begin) }
                let sum = steps[start - begin].score
                var (node, end, hasCharacter) = (0, start, false)
                while end < count {
                    let child = Int(nodes[node].base) + Int(text[end])
                    guard nodes[child].parent == node, child != 0 else { break }
                    node = child
                    end += 1
                    let token = nodes[node].value
                    guard token >= 0, types[Int(token)] != .unused else { continue }
                    update(&steps, from: start - begin, to: end - begin, value(token, end - start) + sum, token)
                    if end - start == length { hasCharacter = true }
                }
                if !hasCharacter {
                    let candidate = unknownScore + sum
                    update(&steps, from: start - begin, to: start + length - begin, candidate, unknown)
                }
                start += length
            } while begin + steps.count - 1 > start
            return start
        }
    }

    /// Takes the sum so far from all sums, so that they stay exact enough in long texts.
    private func rebase(_ steps: inout [Step], from start: Int) {
        let sum = steps[start].score
        for index in start..<steps.count where steps[index].start >= 0 { steps[index].score -= sum }
    }

    /// A piece's score; those defined by the user have 0.1 for each byte but the first, whatever the model says.
    @inline(__always)
    private func value(_ token: Int32, _ length: Int) -> Float {
        types[Int(token)] == .userDefined ? Float(0.1 * Double(length) - 0.1) : scores[Int(token)]
    }

    @inline(__always)
    private func update(_ steps: inout [Step], from start: Int, to end: Int, _ score: Float, _ token: Int32) {
        while steps.count <= end { steps.append(Step(score: 0, start: -1, token: -1)) }
        if steps[end].start < 0 || score > steps[end].score {
            steps[end] = Step(score: score, start: Int32(start), token: token)
        }
    }

    /// Appends the tokens of the best way to `count`.
    private func appendTokens(
        _ text: UnsafePointer<UInt8>, _ count: Int, _ steps: [Step], into output: inout TokenBuffer
    ) {
        var path: [Int] = []
        var end = count
        while end > 0 {
            path.append(end)
            end = Int(steps[end].start)
        }
        for end in path.reversed() {
            let step = steps[end]
            if step.token != unknown {
                output.append(step.token)
            } else if byteTokens.isEmpty {
                withUnsafePointer(to: step.token) {
                    output.append(word: UnsafeBufferPointer(start: $0, count: 1), unknown: unknown)
                }
            } else {
                for index in Int(step.start)..<end { output.append(byteTokens[Int(text[index])]) }
            }
        }
    }
}
