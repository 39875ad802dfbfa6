import GDNTensor

/// Test cases of `cross_entropy` and `linear_cross_entropy`.
enum CrossEntropyCases {
    static let all: [OperationCase] =
        [
            logits("tiny", rows: 4, vocabulary: 5, ignored: [2], tiny: true),
            logits("ragged", rows: 65, vocabulary: 101, ignored: [0, 64]),
            logits("large_logits", rows: 24, vocabulary: 101, scale: 300),
            logits("two_words", rows: 100, vocabulary: 2),
            logits("all_but_one_ignored", rows: 9, vocabulary: 33, ignored: Array(1..<9)),
            head("tiny", rows: 3, width: 4, vocabulary: 5, ignored: [1], tiny: true),
            head("one_row", rows: 1, width: 33, vocabulary: 257),
            head("ragged", rows: 257, width: 31, vocabulary: 100, ignored: [7, 256]),
            head("bytes", rows: 300, width: 64, vocabulary: 256),
            head("blocks", rows: 193, width: 8, vocabulary: 33_000, ignored: [64]),
        ]

    private static func targets(_ rows: Int, _ vocabulary: Int, _ ignored: [Int]) -> [Int] {
        var random = Random(seed: UInt64(rows * 31 + vocabulary))
        return (0..<rows).map { row in
            let target = random.index(below: vocabulary)
            return ignored.contains(row) ? -100 : target
        }
    }

    private static func logits(
        _ name: String, rows: Int, vocabulary: Int, scale: Double = 2, ignored: [Int] = [], tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: "cross_entropy", name: name,
            inputs: [
                .normal("logits", [rows, vocabulary], scale: scale),
                .integers("targets", targets(rows, vocabulary, ignored)),
            ],
            outputs: ["loss"], budget: .float32, tiny: tiny, flops: Double(4 * rows * vocabulary),
            bytes: Double(4 * rows * vocabulary), reference: CrossEntropyReference()
        ) { tape, inputs in
            [try tape.crossEntropy(inputs[0], targets: inputs[1].value)]
        }
    }

    private static func head(
        _ name: String, rows: Int, width: Int, vocabulary: Int, ignored: [Int] = [], tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: "linear_cross_entropy", name: name,
            inputs: [
                .normal("hidden", [rows, width]),
                .normal("weight", [vocabulary, width], scale: 2 / Double(width).squareRoot()),
                .integers("targets", targets(rows, vocabulary, ignored)),
            ],
            outputs: ["loss"], budget: .float32, hasMatrixProducts: true, tiny: tiny,
            flops: Double(2 * rows * width * vocabulary),
            bytes: Double(4 * (rows * width + vocabulary * width)), reference: LinearCrossEntropyReference()
        ) { tape, inputs in
            [try tape.linearCrossEntropy(inputs[0], weight: inputs[1], targets: inputs[2].value)]
        }
    }
}
