import GDNAutograd

/// Test cases of `linear`.
enum LinearCases {
    static let all: [OperationCase] = [
        make("tiny", rows: 3, width: 4, outputs: [2, 5], tiny: true),
        make("one_row", rows: 1, width: 100, outputs: [257]),
        make("few_rows", rows: 7, width: 133, outputs: [63, 1]),
        make("nine_rows", rows: 9, width: 64, outputs: [65]),
        make("ragged", rows: 257, width: 100, outputs: [63, 65, 1]),
        make("one_column", rows: 100, width: 1, outputs: [3]),
        make("projections", rows: 512, width: 96, outputs: [96, 96, 192, 4]),
        make("gates", rows: 1003, width: 264, outputs: [6, 6]),
        make("wide_gates", rows: 1800, width: 2056, outputs: [7]),
        make("narrow_and_wide", rows: 37, width: 72, outputs: [80, 3, 13]),
        make("without_padding", rows: 65, width: 64, outputs: [64, 128]),
        make("long_sums", rows: 2049, width: 48, outputs: [33]),
        parameters("parameters", rows: 37, width: 72, outputs: [80, 6, 6]),
        parameters("parameters_gates", rows: 130, width: 24, outputs: [3, 5]),
    ]

    /// Weights that are parameters with common memory, read twice: their gradients gather.
    private static func parameters(_ name: String, rows: Int, width: Int, outputs: [Int]) -> OperationCase {
        var operationCase = make(name, rows: rows, width: width, outputs: outputs)
        operationCase.outputs += outputs.indices.map { "again\($0)" }
        operationCase.reference = TwiceLinearReference()
        for index in 1..<operationCase.inputs.count { operationCase.inputs[index].alwaysFloat32 = true }
        operationCase.run = { tape, inputs in
            let parameters = inputs.dropFirst().enumerated().map { Parameter("\($0)", $1.value, decays: true) }
            ParameterStack(parameters)
            // The backward of this comes last: it hands on what the parameters have gathered.
            let x = tape.record(inputs, [inputs[0].value]) { gradients in
                [gradients[0]] + parameters.map(\.gatheredGradient)
            }[0]
            return try (0..<2).flatMap { _ in try tape.linear(x, parameters) }
        }
        return operationCase
    }

    private static func make(_ name: String, rows: Int, width: Int, outputs: [Int], tiny: Bool = false)
        -> OperationCase
    {
        let total = outputs.reduce(0, +)
        let scale = 1 / Double(width).squareRoot()
        return OperationCase(
            operation: "linear", name: name,
            inputs: [.normal("x", [rows, width])]
                + outputs.enumerated().map { .normal("weight\($0.offset)", [$0.element, width], scale: scale) },
            outputs: outputs.indices.map { "y\($0)" }, budget: .float32, hasMatrixProducts: true, tiny: tiny,
            flops: Double(2 * rows * width * total), bytes: Double(4 * (rows * width + rows * total + width * total)),
            reference: LinearReference()
        ) { tape, inputs in
            try tape.linear(inputs[0], Array(inputs.dropFirst()))
        }
    }
}
