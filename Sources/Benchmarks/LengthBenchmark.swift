import GDNAutograd
import GDNCPUBackend
import GDNModels
import GDNOps
import GDNTensor

/// How the gated delta rule, and a whole training step, grow with the length of the sequence.
package struct LengthBenchmark {
    /// What was measured at one length.
    package struct Result: Sendable, Codable {
        package var length: Int
        /// Forward and backward of one layer's rule.
        package var ruleSeconds: Double
        /// Most memory during it, inputs included.
        package var rulePeakBytes: Int
        /// Forward and backward of the model; nil beyond the length asked for.
        package var stepSeconds: Double?
        /// Most memory during it, weights included.
        package var stepPeakBytes: Int?
    }

    /// Measures one sequence of each length; the model up to `modelLimit` tokens.
    package static func run(_ configuration: ModelConfiguration, cpu: CPUBackend, lengths: [Int], modelLimit: Int)
        throws -> [Result]
    {
        let model = try LanguageModel(configuration, backend: .cpu(cpu), seed: 1)
        return try lengths.map { length in
            cpu.memory.releaseCachedMemory()
            cpu.memory.resetPeak()
            let before = cpu.memory.bytesInUse
            let inputs = ruleInputs(configuration, cpu, length)
            let rule = try Timing.measure(runs: 3) { try runRule(inputs, cpu) }
            var result = Result(
                length: length, ruleSeconds: rule.minimum, rulePeakBytes: cpu.memory.peakBytes - before)
            if length <= modelLimit {
                let tokens = cpu.tensor((0..<length).map { Int32($0 % configuration.vocabularySize) }, [1, length])
                cpu.memory.releaseCachedMemory()
                cpu.memory.resetPeak()
                let step = try Timing.measure(runs: 2) {
                    let tape = Tape(model.backend)
                    let loss = try model.loss(tape, tokens: tokens, targets: tokens)
                    try tape.backward([loss], gradients: [cpu.tensor([Float(1)], [1])])
                }
                result.stepSeconds = step.minimum
                result.stepPeakBytes = cpu.memory.peakBytes
            }
            return result
        }
    }

    /// q, k, v, log α and β of one sequence.
    private static func ruleInputs(_ model: ModelConfiguration, _ cpu: CPUBackend, _ length: Int) -> [Variable] {
        var random = Random(seed: 6)
        func variable(_ shape: Shape, _ low: Double, _ high: Double) -> Variable {
            let values = (0..<shape.count).map { _ in Float(random.uniform(low, high)) }
            return Variable(cpu.tensor(values, shape), requiresGradient: true)
        }
        let keys: Shape = [1, length, model.heads, model.headDim]
        let gates: Shape = [1, length, model.resolvedValueHeads]
        let bound = 1 / Double(model.headDim).squareRoot()
        return [
            variable(keys, -bound, bound), variable(keys, -bound, bound),
            variable([1, length, model.resolvedValueHeads, model.valueDim], -1, 1), variable(gates, -0.2, 0),
            variable(gates, 0.1, 0.9),
        ]
    }

    private static func runRule(_ inputs: [Variable], _ cpu: CPUBackend) throws {
        let tape = Tape(.cpu(cpu))
        let copies = inputs.map { Variable($0.value, requiresGradient: true) }
        let output = try tape.gatedDeltaRule(
            copies[0], copies[1], copies[2], logDecay: copies[3], beta: copies[4]
        ).output
        try tape.backward([output], gradients: [output.value])
    }
}
