import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct GatedDeltaRuleTests {
    private static let decaying = [
        "base", "ragged_T1", "ragged_T63", "ragged_T65", "ragged_T100", "ragged_T200", "grouped", "unequal",
        "strong_decay", "zero_gate", "neg_eigval", "g_minus_80", "varlen", "varlen_state", "state", "state_grouped",
    ].map { "gated_delta_rule_\($0)" }

    @Test(arguments: decaying + ["delta_rule_state", "delta_rule_neg_eigval"])
    func golden(_ name: String) throws {
        try checkGolden("ops/\(name)", tolerance: 1e-5, gates: ["g": 3e-5, "beta": 3e-5]) { tape, inputs in
            let (output, finalState) = try tape.gatedDeltaRule(
                try inputs("q"), try inputs("k"), try inputs("v"), logDecay: inputs.optional("g"),
                beta: try inputs("beta"), initialState: inputs.optional("initial_state"),
                sequences: try inputs.sequences())
            return [("o", output), ("final_state", finalState)]
        }
    }

    /// Retention is the rule that erases nothing, with a decay of its own for each head, 1 − 2^(−5−h), and β = 1.
    @Test func goldenRetention() throws {
        try checkGolden("ops/retention_state", tolerance: 1e-5) { tape, inputs in
            let q = try inputs("q")
            let (B, T, HV) = (q.shape[0], q.shape[1], q.shape[2])
            let decays = (0..<B * T * HV).map { index in
                Float(Double.logarithmOfOnePlus(-Double(sign: .plus, exponent: -5 - index % HV, significand: 1)))
            }
            let (output, finalState) = try tape.gatedDeltaRule(
                q, try inputs("k"), try inputs("v"), logDecay: Variable(inputs.cpu.tensor(decays, [B, T, HV])),
                beta: nil, initialState: try inputs("initial_state"), erases: false)
            return [("o", output), ("final_state", finalState)]
        }
    }

    /// A negative write strength counts as 0, bit for bit, in every form and direction. (On a GPU it once did, here not.)
    @Test(arguments: [true, false])
    func negativeWriteStrengthCountsAsZero(erases: Bool) throws {
        func bits(_ least: Float) throws -> [[UInt32]] {
            let cpu = CPUBackend(threads: 2, poison: true)
            let a = Arguments(cpu, B: 1, T: 70, H: 1, HV: 2, K: 16, V: 24)
            for i in 0..<a.beta.value.count { a.beta.value.floats[i] = max(least, 2 * a.beta.value.floats[i] - 1) }
            let tape = Tape(.cpu(cpu))
            let (output, finalState) = try a.run(tape, 0..<70, state: a.initialState, erases: erases)
            try tape.backward([output, finalState], gradients: [a.v.value, a.initialState.value])
            let step = try Backend.cpu(cpu).gatedDeltaRuleStep(
                a.part(a.q, 0..<1), a.part(a.k, 0..<1), a.part(a.v, 0..<1), logDecay: a.part(a.logDecay, 0..<1),
                beta: a.part(a.beta, 0..<1), state: a.initialState.value, erases: erases)
            let gradients = [a.q, a.k, a.v, a.logDecay, a.beta, a.initialState].compactMap(\.gradient)
            #expect(gradients.count == 6)
            return ([output.value, finalState.value, step] + gradients).map { $0.floatArray().map(\.bitPattern) }
        }
        #expect(try bits(-.infinity) == bits(0))
        #expect(try bits(-.infinity) != bits(0.5))
    }

    /// Token by token with the state in place, one token through the tape, and the rest of a text after its beginning
    /// was read: all the same as everything at once.
    @Test(arguments: [(1, 1, 16, 16), (2, 4, 24, 40), (1, 3, 64, 128), (2, 2, 128, 200)], [true, false])
    func decodingAndPrefillEqualWhole(_ dims: (H: Int, HV: Int, K: Int, V: Int), erases: Bool) throws {
        let cpu = CPUBackend(poison: true)
        let backend = Backend.cpu(cpu)
        let (B, T, split) = (2, 100, 37)
        let all = Arguments(cpu, B: B, T: T, H: dims.H, HV: dims.HV, K: dims.K, V: dims.V)
        let tape = Tape(backend, recording: false)
        let whole = try all.run(tape, 0..<T, state: all.initialState, erases: erases)

        let beginning = try all.run(tape, 0..<split, state: all.initialState, erases: erases)
        let state = beginning.finalState.value
        var outputs: [[Float]] = []
        for t in split..<T {
            let viaTape = try all.run(tape, t..<t + 1, state: Variable(state), erases: erases)
            let before = state.floatArray()
            let step = try backend.gatedDeltaRuleStep(
                all.part(all.q, t..<t + 1), all.part(all.k, t..<t + 1), all.part(all.v, t..<t + 1),
                logDecay: all.part(all.logDecay, t..<t + 1), beta: all.part(all.beta, t..<t + 1), state: state,
                erases: erases)
            #expect(step.floatArray() == viaTape.output.value.floatArray())
            #expect(state.floatArray() == viaTape.finalState.value.floatArray())
            #expect(state.floatArray() != before)
            outputs.append(step.floatArray())
        }
        let width = dims.HV * dims.V
        for (i, t) in (split..<T).enumerated() {
            let expected = (0..<B).flatMap { b in
                (0..<width).map { whole.output.value.floats[(b * T + t) * width + $0] }
            }
            #expect(relativeError(outputs[i], expected) < 1e-5)
        }
        #expect(relativeError(state.floatArray(), whole.finalState.value.floatArray()) < 1e-5)
    }

    /// The same bits on one thread and on several, for more and for fewer heads than threads.
    @Test(arguments: [(1, 1, 1, 200), (2, 1, 3, 70), (3, 2, 2, 130)], [true, false])
    func threadsDoNotChangeBits(_ dims: (B: Int, H: Int, HV: Int, T: Int), erases: Bool) throws {
        func bits(_ threads: Int) throws -> [[UInt32]] {
            let cpu = CPUBackend(threads: threads)
            let a = Arguments(cpu, B: dims.B, T: dims.T, H: dims.H, HV: dims.HV, K: 32, V: 100)
            let tape = Tape(.cpu(cpu))
            let (output, finalState) = try a.run(tape, 0..<dims.T, state: a.initialState, erases: erases)
            try tape.backward([output, finalState], gradients: [a.v.value, a.initialState.value])
            let gradients = [a.q, a.k, a.v, a.logDecay, a.beta, a.initialState].compactMap(\.gradient)
            #expect(gradients.count == 6)
            return ([output.value, finalState.value] + gradients).map { $0.floatArray().map(\.bitPattern) }
        }
        let one = try bits(1)
        #expect(try bits(2) == one)
        #expect(try bits(3) == one)
        #expect(try bits(7) == one)
    }

    @Test func refusesMisfits() {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        func run(
            q: Shape = [2, 64, 4, 48], k: Shape = [2, 64, 4, 48], v: Shape = [2, 64, 8, 32],
            decay: Shape = [2, 64, 8], beta: Shape = [2, 64, 8], state: Shape? = nil, sequences: [Int32]? = nil
        ) throws {
            func zeros(_ shape: Shape) -> Variable { Variable(cpu.zeros(shape)) }
            _ = try tape.gatedDeltaRule(
                zeros(q), zeros(k), zeros(v), logDecay: zeros(decay), beta: zeros(beta),
                initialState: state.map(zeros), sequences: sequences.map { cpu.tensor($0, [$0.count]) })
        }
        func error(_ message: String) -> ShapeError { ShapeError("gated_delta_rule", message) }
        #expect(
            throws: error(
                "k has shape [2, 64, 4, 48] but v has 6 heads: value heads must be a multiple of key heads (4).")
        ) { try run(v: [2, 64, 6, 32], decay: [2, 64, 6], beta: [2, 64, 6]) }
        #expect(throws: error("q has shape [2, 64, 192], expected [B, T, H, K]")) { try run(q: [2, 64, 192]) }
        #expect(throws: error("k has shape [2, 64, 4, 47], expected [2, 64, 4, 48]")) { try run(k: [2, 64, 4, 47]) }
        #expect(throws: error("v has shape [2, 63, 8, 32], expected [2, 64, 8, 32]")) { try run(v: [2, 63, 8, 32]) }
        #expect(throws: error("logDecay has shape [2, 64, 4], expected [2, 64, 8]")) { try run(decay: [2, 64, 4]) }
        #expect(throws: error("beta has shape [2, 64, 4], expected [2, 64, 8]")) { try run(beta: [2, 64, 4]) }
        #expect(throws: error("initialState has shape [2, 8, 32, 48], expected [2, 8, 48, 32]")) {
            try run(state: [2, 8, 32, 48])
        }
        #expect(throws: error("sequences are given but q has batch size 2: packed input must have 1")) {
            try run(sequences: [0, 64])
        }
        for bad: [Int32] in [[0, 3], [1, 5], [0, 3, 3, 5], [0, 7, 5]] {
            #expect(throws: error("sequences is \(bad.map(Int.init)), expected increasing boundaries from 0 to T = 5"))
            {
                try run(
                    q: [1, 5, 1, 8], k: [1, 5, 1, 8], v: [1, 5, 1, 8], decay: [1, 5, 1], beta: [1, 5, 1], sequences: bad
                )
            }
        }
    }
}

/// Drawn arguments, all differentiable.
private struct Arguments {
    let q: Variable
    let k: Variable
    let v: Variable
    let logDecay: Variable
    let beta: Variable
    let initialState: Variable
    private let cpu: CPUBackend

    init(_ cpu: CPUBackend, B: Int, T: Int, H: Int, HV: Int, K: Int, V: Int) {
        var random = Random(seed: 11)
        func draw(_ shape: Shape, _ element: (inout Random) -> Double) -> Variable {
            Variable(cpu.tensor((0..<shape.count).map { _ in Float(element(&random)) }, shape), requiresGradient: true)
        }
        let unit = 1 / Double(K).squareRoot()
        q = draw([B, T, H, K]) { unit * $0.normal() }
        k = draw([B, T, H, K]) { unit * $0.normal() }
        v = draw([B, T, HV, V]) { $0.normal() }
        logDecay = draw([B, T, HV]) { -0.1 * $0.uniform() }
        beta = draw([B, T, HV]) { $0.uniform() }
        initialState = draw([B, HV, K, V]) { $0.normal() }
        self.cpu = cpu
    }

    /// These tokens of an argument.
    func part(_ variable: Variable, _ tokens: Range<Int>) -> Tensor {
        let shape = variable.shape
        let (T, row) = (shape[1], shape.dims.dropFirst(2).reduce(1, *))
        let values = (0..<shape[0]).flatMap { b in
            (tokens.lowerBound * row..<tokens.upperBound * row).map { variable.value.floats[b * T * row + $0] }
        }
        return cpu.tensor(values, Shape([shape[0], tokens.count] + shape.dims.dropFirst(2)))
    }

    func run(_ tape: Tape, _ tokens: Range<Int>, state: Variable, erases: Bool) throws
        -> (output: Variable, finalState: Variable)
    {
        func cut(_ variable: Variable) -> Variable {
            tokens == 0..<q.shape[1] ? variable : Variable(part(variable, tokens))
        }
        return try tape.gatedDeltaRule(
            cut(q), cut(k), cut(v), logDecay: cut(logDecay), beta: cut(beta), initialState: state, erases: erases)
    }
}
