import GDNTensor

/// The gated delta rule as the paper writes it, one token at a time (eq. 10), and its derivative by the chain rule.
///
///     S ← α_t S;   e = v_t − Sᵀk_t;   u = β_t e;   S ← S + k_t uᵀ;   o_t = K^−½ Sᵀq_t
///
/// Without erasing e_t = v_t: gated linear attention. A negative β_t counts as 0, and its gradient is that at 0.
/// The oracle every other form is compared with: no chunks, no tricks.
/// Inputs in order: q, k [B, T, H, K], v [B, T, HV, V], and those that are there of log α [B, T, HV], β [B, T, HV],
/// initial state [N, HV, K, V], boundaries of packed sequences [N + 1]. Outputs o and the final state.
struct GatedDeltaRuleReference: OperationReference {
    var hasDecay = true
    var hasBeta = true
    var hasInitialState = false
    var isPacked = false
    var erases = true
    /// Whether operands of products are rounded to bfloat16, as tensor cores take them; sums and the state are not.
    var roundsOperands = false

    /// The plain evaluation that bfloat16 kernels are compared with where a case is ill-conditioned.
    var inBFloat16: (any OperationReference)? {
        var copy = self
        copy.roundsOperands = true
        return copy
    }

    @_specialize(where S == Double)
    @_specialize(where S == Float)
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let arguments = DeltaRuleReferenceArguments(self, inputs)
        var output = ReferenceArray<S>(arguments.v.shape)
        var finalState = ReferenceArray<S>(arguments.stateShape)
        for sequence in arguments.sequences.indices {
            for head in 0..<arguments.HV {
                let run = DeltaRuleReferenceRun(arguments, sequence, head)
                arguments.read(run, sequence, head, into: &output.values)
                let (size, start) = (arguments.K * arguments.V, arguments.stateOffset(sequence, head))
                for i in 0..<size { finalState[start + i] = run.states[run.states.count - size + i] }
            }
        }
        return [output, finalState]
    }

    @_specialize(where S == Double)
    @_specialize(where S == Float)
    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let arguments = DeltaRuleReferenceArguments(self, inputs)
        var gradients = DeltaRuleReferenceGradients(arguments)
        for sequence in arguments.sequences.indices {
            for head in 0..<arguments.HV {
                let run = DeltaRuleReferenceRun(arguments, sequence, head)
                gradients.add(arguments, run, sequence, head, upstream[0].values, upstream[1].values)
            }
        }
        return [gradients.dq, gradients.dk, gradients.dv] + (hasDecay ? [gradients.dLogDecay] : [])
            + (hasBeta ? [gradients.dBeta] : []) + (hasInitialState ? [gradients.dInitialState] : [])
            + (isPacked ? [nil] : [])
    }
}

/// The inputs by name, and where things lie in them.
private struct DeltaRuleReferenceArguments<S: ReferenceScalar> {
    let q: ReferenceArray<S>
    let k: ReferenceArray<S>
    let v: ReferenceArray<S>
    var logDecay: ReferenceArray<S>?
    var beta: ReferenceArray<S>?
    var initialState: ReferenceArray<S>?
    let H: Int
    let HV: Int
    let K: Int
    let V: Int
    let scale: S
    let erases: Bool
    let roundsOperands: Bool
    /// Tokens of each sequence, B and T joined.
    let sequences: [Range<Int>]

    init(_ options: GatedDeltaRuleReference, _ inputs: [ReferenceArray<S>]) {
        (q, k, v) = (inputs[0], inputs[1], inputs[2])
        var rest = inputs.dropFirst(3)
        if options.hasDecay { logDecay = rest.popFirst() }
        if options.hasBeta { beta = rest.popFirst() }
        if options.hasInitialState { initialState = rest.popFirst() }
        let (B, T) = (q.shape[0], q.shape[1])
        (H, HV, K, V) = (q.shape[2], v.shape[2], q.shape[3], v.shape[3])
        scale = 1 / S(K).squareRoot()
        erases = options.erases
        roundsOperands = options.roundsOperands
        if options.isPacked, let boundaries = rest.popFirst() {
            let values = boundaries.values.map { Int($0) }
            sequences = zip(values, values.dropFirst()).map { $0..<$1 }
        } else {
            sequences = (0..<B).map { $0 * T..<($0 + 1) * T }
        }
    }

    var stateShape: [Int] { [sequences.count, HV, K, V] }
    func stateOffset(_ sequence: Int, _ head: Int) -> Int { (sequence * HV + head) * K * V }
    func keyOffset(_ token: Int, _ head: Int) -> Int { (token * H + head / (HV / H)) * K }
    func valueOffset(_ token: Int, _ head: Int) -> Int { (token * HV + head) * V }
    func alpha(_ token: Int, _ head: Int) -> S { logDecay.map { S.exponential($0[token * HV + head]) } ?? 1 }
    func strength(_ token: Int, _ head: Int) -> S {
        guard let beta else { return 1 }
        let strength = beta[token * HV + head]
        return strength < 0 ? 0 : strength
    }

    /// A number as an operand of a product.
    @inline(__always) func operand(_ x: S) -> S { roundsOperands ? S(BFloat16(Float(x)).float) : x }

    /// o_t = K^−½ Sᵀq_t
    func read(_ run: DeltaRuleReferenceRun<S>, _ sequence: Int, _ head: Int, into output: inout [S]) {
        for (t, token) in sequences[sequence].enumerated() {
            let (key, value, state) = (keyOffset(token, head), valueOffset(token, head), (t + 1) * K * V)
            for i in 0..<K {
                let query = scale * q[key + i]
                for j in 0..<V { output[value + j] += query * operand(run.states[state + i * V + j]) }
            }
        }
    }
}

/// One value head of one sequence: the state before the first and after every token, and the errors.
private struct DeltaRuleReferenceRun<S: ReferenceScalar> {
    /// [T + 1, K, V]
    var states: [S]
    /// e_t = v_t − α_t Sᵀk_t, or v_t without erasing, [T, V]
    var errors: [S]

    init(_ a: DeltaRuleReferenceArguments<S>, _ sequence: Int, _ head: Int) {
        let (K, V, tokens) = (a.K, a.V, a.sequences[sequence])
        let size = K * V
        states = Array(repeating: 0, count: (tokens.count + 1) * size)
        errors = Array(repeating: 0, count: tokens.count * V)
        if let initial = a.initialState {
            for i in 0..<size { states[i] = initial[a.stateOffset(sequence, head) + i] }
        }
        for (t, token) in tokens.enumerated() {
            let (key, value) = (a.keyOffset(token, head), a.valueOffset(token, head))
            let (alpha, beta) = (a.alpha(token, head), a.strength(token, head))
            let (before, after) = (t * size, (t + 1) * size)
            for j in 0..<V { errors[t * V + j] = a.v[value + j] }
            for i in 0..<K {
                let k = a.k[key + i]
                for j in 0..<V {
                    let decayed = alpha * states[before + i * V + j]
                    states[after + i * V + j] = decayed
                    if a.erases { errors[t * V + j] -= k * a.operand(decayed) }
                }
            }
            for i in 0..<K {
                let k = a.k[key + i] * beta
                for j in 0..<V { states[after + i * V + j] += k * a.operand(errors[t * V + j]) }
            }
        }
    }
}

/// Gradients of everything, gathered head by head.
private struct DeltaRuleReferenceGradients<S: ReferenceScalar> {
    var dq: ReferenceArray<S>
    var dk: ReferenceArray<S>
    var dv: ReferenceArray<S>
    var dLogDecay: ReferenceArray<S>
    var dBeta: ReferenceArray<S>
    var dInitialState: ReferenceArray<S>

    init(_ a: DeltaRuleReferenceArguments<S>) {
        (dq, dk, dv) = (ReferenceArray(a.q.shape), ReferenceArray(a.k.shape), ReferenceArray(a.v.shape))
        dLogDecay = ReferenceArray(Array(a.v.shape.dropLast()))
        dBeta = dLogDecay
        dInitialState = ReferenceArray(a.stateShape)
    }

    /// Each line of the recurrence reversed, last token first; dS is the gradient of the state between the lines.
    mutating func add(
        _ a: DeltaRuleReferenceArguments<S>, _ run: DeltaRuleReferenceRun<S>, _ sequence: Int, _ head: Int,
        _ dOutput: [S], _ dFinalState: [S]
    ) {
        let (K, V, stateOffset) = (a.K, a.V, a.stateOffset(sequence, head))
        let size = K * V
        var dS = Array(dFinalState[stateOffset..<stateOffset + size])
        var dU = [S](repeating: 0, count: V)
        for (t, token) in a.sequences[sequence].enumerated().reversed() {
            let (key, value, gate) = (a.keyOffset(token, head), a.valueOffset(token, head), token * a.HV + head)
            let (alpha, beta) = (a.alpha(token, head), a.strength(token, head))
            let (before, after) = (t * size, (t + 1) * size)
            // o = K^−½ Sᵀq
            for i in 0..<K {
                var sum: S = 0
                for j in 0..<V {
                    sum += a.operand(run.states[after + i * V + j]) * dOutput[value + j]
                    dS[i * V + j] += a.scale * a.q[key + i] * dOutput[value + j]
                }
                dq[key + i] += a.scale * sum
            }
            // S ← S + k uᵀ,  u = β e
            for j in 0..<V { dU[j] = 0 }
            for i in 0..<K {
                var sum: S = 0
                for j in 0..<V {
                    sum += a.operand(dS[i * V + j]) * a.operand(run.errors[t * V + j])
                    dU[j] += a.operand(dS[i * V + j]) * a.k[key + i]
                }
                dk[key + i] += beta * sum
            }
            // e = v − α Sᵀk, or e = v
            for j in 0..<V {
                dBeta[gate] += dU[j] * run.errors[t * V + j]
                dv[value + j] = beta * dU[j]
            }
            // S ← α S
            for i in 0..<K {
                var sum: S = 0
                for j in 0..<V {
                    let decayed = alpha * run.states[before + i * V + j]
                    if a.erases {
                        sum += a.operand(decayed) * beta * a.operand(dU[j])
                        dS[i * V + j] -= a.k[key + i] * beta * a.operand(dU[j])
                    }
                    dLogDecay[gate] += dS[i * V + j] * decayed
                    dS[i * V + j] *= alpha
                }
                dk[key + i] -= sum
            }
        }
        for i in 0..<size { dInitialState[stateOffset + i] = dS[i] }
    }
}
