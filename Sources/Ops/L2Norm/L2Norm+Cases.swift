import GDNTensor

/// Test cases of `l2_norm` and of the other key normalisations.
enum L2NormCases {
    static let all: [OperationCase] =
        [
            make("tiny", .l2, shape: [3, 5], tiny: true),
            make("eps_matters", .l2, shape: [49, 16], scale: 1e-3),
            make("heads_1", .l2, shape: [1, 63, 1, 16]),
            make("heads_3", .l2, shape: [3, 65, 3, 24]),
            make("training", .l2, shape: [1, 4096, 4, 64]),
        ] + [1, 63, 64, 65, 100, 257].map { make("ragged_\($0)", .l2, shape: [$0, 2, $0 == 257 ? 33 : 257]) }
        + [KeyNormalisation.l1, .softmax].flatMap { kind in
            [
                make("tiny", kind, shape: [3, 5], tiny: true),
                make("ragged", kind, shape: [257, 3, 33]),
                make("heads_3", kind, shape: [3, 65, 3, 64]),
            ]
        }

    private static func make(
        _ name: String, _ kind: KeyNormalisation, shape: Shape, scale: Double = 1, tiny: Bool = false
    ) -> OperationCase {
        OperationCase(
            operation: kind == .l2 ? "l2_norm" : "normalise_keys",
            name: kind == .l2 ? name : "\(name)_\(kind.rawValue)", inputs: [.normal("x", shape, scale: scale)],
            outputs: ["y"], budget: .float32, tiny: tiny, flops: Double(3 * shape.count),
            bytes: Double(8 * shape.count), reference: KeyNormalisationReference(kind: kind, eps: 1e-6)
        ) { tape, inputs in [try tape.normaliseKeys(inputs[0], kind: kind, eps: 1e-6)] }
    }
}
