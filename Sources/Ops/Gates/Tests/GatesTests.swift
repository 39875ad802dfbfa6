import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct GatesTests {
    let cpu = CPUBackend(poison: true)

    /// The gates alone: nothing but their own rounding.
    @Test(arguments: ["default", "grouped_neg"])
    func goldenGates(_ name: String) throws {
        let inputs = try GoldenInputs(Golden("ops/gate_path_\(name)"), cpu)
        let (logDecay, beta) = try gates(Tape(.cpu(cpu)), inputs, name)
        #expect(relativeError(logDecay.value.floatArray(), try inputs.golden.floats("out.g")) <= 2e-6)
        #expect(relativeError(beta.value.floatArray(), try inputs.golden.floats("out.beta")) <= 2e-6)
    }

    /// From the projections through the gates and the gated delta rule, and back.
    @Test(arguments: ["default", "grouped_neg"])
    func goldenGatePath(_ name: String) throws {
        let tolerances = ["a": 3e-5, "b": 3e-5, "A_log": 3e-5, "dt_bias": 3e-5]
        try checkGolden("ops/gate_path_\(name)", tolerance: 1e-5, gates: tolerances) { tape, inputs in
            let (logDecay, beta) = try gates(tape, inputs, name)
            let (output, finalState) = try tape.gatedDeltaRule(
                try tape.l2Norm(try inputs("q"), eps: 1e-6), try tape.l2Norm(try inputs("k"), eps: 1e-6),
                try inputs("v"), logDecay: logDecay, beta: beta)
            return [("o", output), ("final_state", finalState), ("g", logDecay), ("beta", beta)]
        }
    }

    private func gates(_ tape: Tape, _ inputs: GoldenInputs, _ name: String) throws -> (Variable, Variable) {
        try tape.gates(
            try inputs("a"), try inputs("b"), aLog: try inputs("A_log"), dtBias: try inputs("dt_bias"),
            allowNegativeEigenvalues: name == "grouped_neg")
    }

    /// Whatever the projections, the decay lies in [0, 1] and the write strength in [0, 1], or [0, 2]: the domain of the
    /// gated delta rule. Tiny decays keep their digits: g = −e^A e^x for x far below zero.
    @Test(arguments: [false, true])
    func gatesStayInTheirDomain(_ allowNegative: Bool) throws {
        let projections: [Float] = [-1e30, -1000, -60, -1, 0, 1, 60, 1000, 1e30]
        let row = cpu.tensor(projections, [1, projections.count, 1])
        let (logDecay, beta) = try Tape(.cpu(cpu)).gates(
            Variable(row), Variable(row), aLog: Variable(cpu.tensor([0.5], [1])),
            dtBias: Variable(cpu.zeros([1])), allowNegativeEigenvalues: allowNegative)
        let (decays, strengths) = (logDecay.value.floatArray(), beta.value.floatArray())
        let most: Float = allowNegative ? 2 : 1
        #expect(decays.allSatisfy { $0 <= 0 && $0.isFinite })
        #expect(strengths.allSatisfy { (0...most).contains($0) })
        #expect(strengths[0] < 1e-37 && strengths[4] == most / 2 && strengths[8] == most)
        #expect(abs(Double(decays[2]) / (-Double.exponential(0.5 - 60)) - 1) < 1e-5)
        #expect(decays[0] == 0)
    }

    /// Sums over tokens go in a fixed order.
    @Test func threadsDoNotChangeBits() throws {
        func bits(_ threads: Int) throws -> [[UInt32]] {
            let cpu = CPUBackend(threads: threads)
            var random = Random(seed: 5)
            func draw(_ shape: Shape) -> Variable {
                Variable(
                    cpu.tensor((0..<shape.count).map { _ in Float(random.normal()) }, shape), requiresGradient: true)
            }
            let (a, b, aLog, dtBias) = (draw([3, 1001, 3]), draw([3, 1001, 3]), draw([3]), draw([3]))
            let tape = Tape(.cpu(cpu))
            let (logDecay, beta) = try tape.gates(a, b, aLog: aLog, dtBias: dtBias)
            try tape.backward([logDecay, beta], gradients: [a.value, b.value])
            let gradients = [a, b, aLog, dtBias].compactMap(\.gradient)
            #expect(gradients.count == 4)
            return ([logDecay.value, beta.value] + gradients).map { $0.floatArray().map(\.bitPattern) }
        }
        let one = try bits(1)
        #expect(try bits(2) == one)
        #expect(try bits(7) == one)
    }

    @Test func refusesMisfits() {
        func run(b: Shape = [1, 5, 2], aLog: Shape = [2], dtBias: Shape = [2]) throws {
            func zeros(_ shape: Shape) -> Variable { Variable(cpu.zeros(shape)) }
            _ = try Tape(.cpu(cpu)).gates(zeros([1, 5, 2]), zeros(b), aLog: zeros(aLog), dtBias: zeros(dtBias))
        }
        #expect(throws: ShapeError("gates", "b has shape [1, 5, 3], expected [1, 5, 2]")) { try run(b: [1, 5, 3]) }
        #expect(throws: ShapeError("gates", "aLog has shape [3], expected [2]")) { try run(aLog: [3]) }
        #expect(throws: ShapeError("gates", "dtBias has shape [1], expected [2]")) { try run(dtBias: [1]) }
    }
}
