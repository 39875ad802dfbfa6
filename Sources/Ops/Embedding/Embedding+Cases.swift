import GDNTensor

/// Test cases of `embedding`.
enum EmbeddingCases {
    static let all: [OperationCase] = [
        make("tiny", tokens: [2, 0, 2], vocabulary: 4, width: 3, tiny: true),
        make("one_token", tokens: [6], vocabulary: 7, width: 33),
        make("ragged", tokens: drawn(257, vocabulary: 31), vocabulary: 31, width: 100),
        make("one_word", tokens: Array(repeating: 5, count: 2100), vocabulary: 9, width: 16),
        // Words that take several pieces of the sorted positions, begin and end within them, or do not occur.
        make(
            "skewed", tokens: drawn(700, vocabulary: 1000).map { $0 % 3 == 0 ? $0 : $0 % 7 }, vocabulary: 1000,
            width: 24),
        make("wide", tokens: drawn(130, vocabulary: 5), vocabulary: 600, width: 1160),
        make("bytes", tokens: drawn(4096, vocabulary: 256), vocabulary: 256, width: 48),
    ]

    private static func drawn(_ count: Int, vocabulary: Int) -> [Int] {
        var random = Random(seed: UInt64(count))
        return (0..<count).map { _ in random.index(below: vocabulary) }
    }

    private static func make(_ name: String, tokens: [Int], vocabulary: Int, width: Int, tiny: Bool = false)
        -> OperationCase
    {
        OperationCase(
            operation: "embedding", name: name,
            inputs: [.integers("tokens", tokens), .normal("table", [vocabulary, width])], outputs: ["y"],
            budget: .float32, tiny: tiny, flops: 0, bytes: Double(8 * tokens.count * width),
            reference: EmbeddingReference()
        ) { tape, inputs in
            [try tape.embedding(inputs[0].value, table: inputs[1])]
        }
    }
}
