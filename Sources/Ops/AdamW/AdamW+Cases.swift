import GDNAutograd
import GDNTensor

/// Test cases of `adamw`: several steps, judged by the parameter and its state.
enum AdamWCases {
    static let all: [OperationCase] = [
        make("five_steps", [7, 5], steps: 5),
        make("no_decay", [257], steps: 5, decays: false),
        make("scaled_gradient", [3, 65], steps: 3, gradientScale: 0.125),
        make("tiny_gradients", [64], steps: 3, gradientSize: 1e-8),
        make("many_tensors", [6, 17_004], steps: 2, rowsATensor: [1, 3, 2]),
        make("training", [4096, 256], steps: 2),
    ]

    private static func make(
        _ name: String, _ shape: Shape, steps: Int, decays: Bool = true, gradientScale: Double = 1,
        gradientSize: Double = 1, rowsATensor: [Int]? = nil
    ) -> OperationCase {
        let configuration = AdamWConfiguration()
        var inputs = [OperationCase.Input.normal("p", shape)]
        inputs += (1...steps).map { .normal("g\($0)", shape, scale: gradientSize) }
        return OperationCase(
            operation: "adamw", name: name,
            inputs: inputs.map { $0.with(differentiable: false, alwaysFloat32: true) }, outputs: ["p", "m", "v"],
            budget: .float32, bfloat16Budget: nil, flops: Double(12 * steps * shape.count),
            bytes: Double(28 * steps * shape.count),
            reference: AdamWReference(
                learningRate: 1e-2, gradientScale: gradientScale, decays: decays, configuration: configuration)
        ) { tape, inputs in
            let value = try tape.backend.sum(inputs[0].value, tape.backend.zeros(shape))
            let (m, v) = (try tape.backend.zeros(shape), try tape.backend.zeros(shape))
            for (step, gradient) in inputs.dropFirst().enumerated() {
                var end = 0
                let slots = (rowsATensor ?? [shape[0]]).map { rows in
                    end += rows
                    let part = end - rows..<end
                    return AdamWSlot(
                        value: value.slice(part), gradient: gradient.value.slice(part), firstMoment: m.slice(part),
                        secondMoment: v.slice(part), decays: decays)
                }
                try adamWStep(
                    slots: slots, on: tape.backend, learningRate: 1e-2, step: step + 1, gradientScale: gradientScale,
                    configuration: configuration)
            }
            return [value, m, v].map { Variable($0) }
        }
    }
}
