import GDNAutograd
import GDNTensor

/// Test cases of `gradient_clipping`.
enum GradientClippingCases {
    static let all: [OperationCase] = [
        make("clips", [[7, 5], [11]]),
        make("keeps", [[7, 5], [11]], maximum: 100),
        make("ragged", [[1], [63, 3], [64], [65], [257, 100]]),
        make("large", [[100]], scale: 1e25),
        make("training", [[4096, 256], [256], [65, 1000]]),
    ]

    private static func make(_ name: String, _ shapes: [Shape], maximum: Double = 1, scale: Double = 1) -> OperationCase
    {
        let count = shapes.reduce(0) { $0 + $1.count }
        return OperationCase(
            operation: "gradient_clipping", name: name,
            inputs: shapes.enumerated().map { index, shape in
                .normal("g\(index)", shape, scale: scale).with(differentiable: false, alwaysFloat32: true)
            }, outputs: ["norm", "coefficient"], budget: .float32, bfloat16Budget: nil, flops: Double(2 * count),
            bytes: Double(4 * count), reference: GradientClippingReference(maximum: maximum)
        ) { tape, inputs in
            let norm = try globalNorm(inputs.map(\.value), on: tape.backend)
            return try [norm, clipCoefficient(norm: norm, maximum: maximum)].map { value in
                Variable(try tape.backend.upload([Float(value)], [1]))
            }
        }
    }
}
