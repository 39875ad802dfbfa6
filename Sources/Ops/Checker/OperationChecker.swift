import GDNAutograd
import GDNCPUBackend
import GDNCUDABackend
import GDNTensor

/// One line of the table `gdn check` prints: one tensor of one case.
package struct CheckRow: Sendable {
    /// `operation/case`
    package var identifier: String
    /// Output or gradient, e.g. `y` or `grad.x`; or the name of another check (`deterministic`, `guards`).
    package var tensor: String
    /// RMS(error) / RMS(reference); NaN when something is not finite.
    package var error: Double
    /// What the error may be.
    package var budget: Double
    /// Whether it is within the budget. NaN never passes.
    package var passed: Bool { error <= budget }
}

/// Compares an operation with its oracle: outputs and every gradient, twice, with poisoned memory.
package struct OperationChecker {
    /// Where the operation runs. Tests pass a backend that poisons fresh memory and guards its edges.
    package let backend: Backend
    /// Element type of the inputs.
    package let dtype: DType
    /// How many cases' references are computed at a time. Each takes up to 100 MB.
    package let threads: Int

    /// A checker for a backend.
    package init(_ backend: Backend, dtype: DType = .float32, threads: Int? = nil) {
        self.backend = backend
        self.dtype = dtype
        self.threads = threads ?? min(8, processorCount())
    }

    /// Checks one case: a row for every output and gradient, one for determinism, and one for the bytes around
    /// every tensor when the backend guards them.
    package func check(_ operationCase: OperationCase) throws -> [CheckRow] {
        let inputs = drawInputs(operationCase)
        return compare(operationCase, inputs, try measure(operationCase, inputs))
    }

    /// What the operation made of a case's inputs, twice.
    struct Measurement {
        fileprivate var first: Evaluation
        fileprivate var isDeterministic: Bool
        /// Bytes outside of tensors that were written; nil where the backend does not watch.
        fileprivate var violations: Int?
    }

    /// Runs the operation: the part of a check that the backend computes.
    func measure(_ operationCase: OperationCase, _ inputs: [ReferenceArray<Float>]) throws -> Measurement {
        let violations = guardViolations
        let first = try evaluate(operationCase, inputs)
        let second = try evaluate(operationCase, inputs)
        return Measurement(
            first: first, isDeterministic: first.bits == second.bits,
            violations: guardViolations.map { $0 - (violations ?? 0) })
    }

    /// Computes the reference and compares: the part of a check that needs no backend.
    func compare(_ operationCase: OperationCase, _ inputs: [ReferenceArray<Float>], _ measured: Measurement)
        -> [CheckRow]
    {
        let first = measured.first
        let upstream = first.upstream
        let doubles = inputs.map { $0.converted(Double.self) }
        let outputs = operationCase.reference.forward(doubles)
        let gradients = operationCase.reference.gradients(doubles, upstream)
        let plain =
            isIllConditioned(operationCase) ? plainErrors(operationCase, inputs, upstream, outputs, gradients) : nil

        var rows: [CheckRow] = []
        let budget = budget(of: operationCase)
        for (index, name) in operationCase.outputs.enumerated() {
            rows.append(
                CheckRow(
                    identifier: operationCase.identifier, tensor: name,
                    error: relativeError(first.outputs[index], outputs[index].values),
                    budget: plain.map { 2 * $0.outputs[index] + 1e-7 } ?? budget.forward))
        }
        for (index, input) in operationCase.inputs.enumerated() where input.differentiable {
            guard let expected = gradients[index] else { continue }
            let allowed = input.isGate ? budget.gateGradient : budget.gradient
            let error = first.gradients[index].map { relativeError($0, expected.values) } ?? .nan
            rows.append(
                CheckRow(
                    identifier: operationCase.identifier, tensor: "grad.\(input.name)", error: error,
                    budget: plain.map { 3 * $0.gradients[index] + 1e-7 } ?? allowed))
        }
        rows.append(
            CheckRow(
                identifier: operationCase.identifier, tensor: "deterministic", error: measured.isDeterministic ? 0 : 1,
                budget: 0))
        if let violations = measured.violations {
            rows.append(
                CheckRow(
                    identifier: operationCase.identifier, tensor: "guards", error: Double(violations), budget: 0))
        }
        if operationCase.tiny, dtype == .float32 { rows += finiteDifferences(operationCase, doubles, upstream) }
        return rows
    }

    /// Whether float32 matrix products round their operands to TF32 here.
    package var usesTF32: Bool {
        guard case .cuda(let cuda) = backend else { return false }
        return cuda.allowsTF32 && dtype == .float32
    }

    private func budget(of operationCase: OperationCase) -> Budget {
        if dtype == .bfloat16 { return operationCase.bfloat16Budget ?? .bfloat16 }
        return usesTF32 && operationCase.hasMatrixProducts ? .tf32 : operationCase.budget
    }

    /// How often bytes outside of a tensor have been written; nil where the backend does not watch.
    private var guardViolations: Int? {
        guard case .cpu(let cpu) = backend, cpu.memory.poison else { return nil }
        return cpu.memory.guardViolations
    }

    private func isIllConditioned(_ operationCase: OperationCase) -> Bool {
        dtype == .bfloat16 ? operationCase.illConditionedInBFloat16 : operationCase.illConditioned
    }

    /// Inputs of a case, drawn from its own seed; in bfloat16 runs rounded to what the operation will see.
    package func drawInputs(_ operationCase: OperationCase) -> [ReferenceArray<Float>] {
        var random = Random(seed: stableHash(operationCase.identifier))
        return operationCase.inputs.map { input in
            let values = input.values ?? (0..<input.shape.count).map { _ in input.draw(&random) }
            let rounds = dtype == .bfloat16 && input.dtype == .float32 && !input.alwaysFloat32
            return ReferenceArray(
                input.shape.dims, values.map { rounds ? BFloat16(Float($0)).float : Float($0) })
        }
    }

    fileprivate struct Evaluation {
        var outputs: [[Float]]
        var gradients: [[Float]?]
        var upstream: [ReferenceArray<Double>]
        var bits: [UInt32] {
            (outputs + gradients.compactMap { $0 }).flatMap { $0.map(\.bitPattern) }
        }
    }

    /// Goes through an operation without inputs, for a rehearsal.
    func goThrough(_ operationCase: OperationCase) throws {
        let tape = Tape(backend)
        let variables = try operationCase.inputs.map { input in
            Variable(try backend.zeros(input.shape, elementType(input)), requiresGradient: input.differentiable)
        }
        let outputs = try operationCase.run(tape, variables)
        let upstream = try outputs.map { try backend.zeros($0.value.shape, $0.value.dtype) }
        try tape.backward(outputs, gradients: upstream)
    }

    private func elementType(_ input: OperationCase.Input) -> DType {
        input.dtype == .int32 ? .int32 : input.alwaysFloat32 ? .float32 : dtype
    }

    private func evaluate(_ operationCase: OperationCase, _ inputs: [ReferenceArray<Float>]) throws -> Evaluation {
        let tape = Tape(backend)
        let variables = try zip(operationCase.inputs, inputs).map { input, array in
            Variable(
                try input.tensor(array, on: backend, elementType(input)), requiresGradient: input.differentiable)
        }
        let outputs = try operationCase.run(tape, variables)
        var random = Random(seed: stableHash(operationCase.identifier) ^ 0x5eed)
        let upstream = outputs.map { output in
            let rounds = output.value.dtype == .bfloat16
            let values = (0..<output.shape.count).map { _ in Float(random.normal()) }
            return ReferenceArray<Float>(output.shape.dims, values.map { rounds ? BFloat16($0).float : $0 })
        }
        let results = try outputs.map { try backend.download($0.value) }
        try tape.backward(
            outputs, gradients: zip(outputs, upstream).map { try backend.upload($1.values, $0.shape, $0.value.dtype) })
        let gradients = try variables.map { try $0.gradient.map(backend.download) }
        return Evaluation(
            outputs: results, gradients: gradients, upstream: upstream.map { $0.converted(Double.self) })
    }

    private func plainErrors(
        _ operationCase: OperationCase, _ inputs: [ReferenceArray<Float>], _ upstream: [ReferenceArray<Double>],
        _ outputs: [ReferenceArray<Double>], _ gradients: [ReferenceArray<Double>?]
    ) -> (outputs: [Double], gradients: [Double]) {
        let reference = (dtype == .bfloat16 ? operationCase.reference.inBFloat16 : nil) ?? operationCase.reference
        let plainOutputs = reference.forward(inputs)
        let plainGradients = reference.gradients(inputs, upstream.map { $0.converted(Float.self) })
        return (
            zip(plainOutputs, outputs).map { relativeError($0.values, $1.values) },
            zip(plainGradients, gradients).map { plain, exact in
                guard let plain, let exact else { return 0 }
                return relativeError(plain.values, exact.values)
            }
        )
    }

    /// The reference's own gradients against central differences of its forward, in Double.
    private func finiteDifferences(
        _ operationCase: OperationCase, _ inputs: [ReferenceArray<Double>], _ upstream: [ReferenceArray<Double>]
    ) -> [CheckRow] {
        let reference = operationCase.reference
        let gradients = reference.gradients(inputs, upstream)
        func objective(_ inputs: [ReferenceArray<Double>]) -> Double {
            zip(reference.forward(inputs), upstream).reduce(0) { sum, pair in
                sum + zip(pair.0.values, pair.1.values).reduce(0) { $0 + $1.0 * $1.1 }
            }
        }
        return operationCase.inputs.indices.compactMap { index in
            guard operationCase.inputs[index].differentiable, let analytic = gradients[index] else { return nil }
            let numeric = inputs[index].values.indices.map { element in
                let step = 1e-6 * max(1, abs(inputs[index][element]))
                var moved = inputs
                moved[index][element] += step
                let above = objective(moved)
                moved[index][element] -= 2 * step
                return (above - objective(moved)) / (2 * step)
            }
            return CheckRow(
                identifier: operationCase.identifier, tensor: "finite.\(operationCase.inputs[index].name)",
                error: relativeError(numeric.map { Float($0) }, analytic.values), budget: 1e-6)
        }
    }
}

/// RMS(a − b) / RMS(b); the plain RMS of a where b is zero throughout. NaN where anything is not finite or counts differ.
package func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
    guard actual.count == expected.count else { return .nan }
    var difference = 0.0
    var scale = 0.0
    for (a, b) in zip(actual, expected) {
        difference += (Double(a) - b) * (Double(a) - b)
        scale += b * b
    }
    guard difference.isFinite, scale.isFinite else { return .nan }
    return scale > 0 ? (difference / scale).squareRoot() : difference.squareRoot()
}

/// A hash that is the same in every process (FNV-1a).
package func stableHash(_ text: String) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
