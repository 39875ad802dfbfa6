import GDNAutograd
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
        // Words of so many rows that their parts are added up in groups; several of them beside words of few rows.
        make("frequent", tokens: frequent(4700), vocabulary: 70, width: 132),
        make("wide", tokens: drawn(130, vocabulary: 5), vocabulary: 600, width: 1160),
        make("bytes", tokens: drawn(4096, vocabulary: 256), vocabulary: 256, width: 48),
        added("added", tokens: frequent(1500) + drawn(100, vocabulary: 70), vocabulary: 80, width: 132),
        added("added_ragged", tokens: drawn(200, vocabulary: 31), vocabulary: 31, width: 13),
    ]

    private static func drawn(_ count: Int, vocabulary: Int) -> [Int] {
        var random = Random(seed: UInt64(count))
        return (0..<count).map { _ in random.index(below: vocabulary) }
    }

    /// Words 3, 40 and 41 take a third each, but for every ninth token.
    private static func frequent(_ count: Int) -> [Int] {
        let words = drawn(count, vocabulary: 70)
        return (0..<count).map { $0 % 9 == 0 ? words[$0] : [3, 40, 41][words[$0] % 3] }
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

    /// Three times the same rows: the gradient of the first goes to a tensor of its own, that of the last to a parameter's
    /// buffer, to which the second adds.
    private static func added(_ name: String, tokens: [Int], vocabulary: Int, width: Int) -> OperationCase {
        var added = make(name, tokens: tokens, vocabulary: vocabulary, width: width)
        added.outputs = ["y", "second", "last"]
        added.reference = EmbeddingReference(times: 3)
        added.run = { tape, inputs in
            let parameter = Parameter("table", inputs[1].value, decays: true)
            let backend = tape.backend
            // Its backward comes after the others'.
            let table = tape.record([inputs[1]], [inputs[1].value]) { gradients in
                guard var own = gradients[0], let gathered = parameter.gatheredGradient else { return [nil] }
                if case .cpu(let cpu) = backend { own = cpu.convert(own, to: gathered.dtype) }
                return [try backend.sum(own, gathered)]
            }[0]
            return try [table, parameter, parameter].map { try tape.embedding(inputs[0].value, table: $0) }
        }
        return added
    }
}
