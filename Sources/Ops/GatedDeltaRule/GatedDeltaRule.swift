import GDNAutograd
import GDNTensor

extension Tape {
    /// The gated delta rule: a memory that decays, is corrected by what it predicted wrongly, and is read.
    ///
    ///     S ← α_t S;   u = β_t (v_t − Sᵀk_t);   S ← S + k_t uᵀ;   o_t = scale · Sᵀq_t
    ///
    /// - Parameters:
    ///   - q: queries [B, T, H, K];  k: keys [B, T, H, K], of unit length where β may reach 2
    ///   - v: values [B, T, HV, V], HV a multiple of H: value head i uses key head i / (HV / H)
    ///   - logDecay: log α ≤ 0, [B, T, HV], float32; no decay (the plain delta rule) when nil
    ///   - beta: write strength in [0, 2], [B, T, HV], float32; 1 when nil. Below 0 it counts as 0 on every device, and the
    ///     gradient is that at 0; above 2 the state may grow without bound
    ///   - initialState: [N, HV, K, V], float32, one a sequence (N = B unless packed); zeros when nil
    ///   - sequences: boundaries of packed sequences, int32 [N + 1] increasing from 0 to T, with B = 1; each has its
    ///     own state
    ///   - scale: factor of the outputs, K^−½ when nil
    ///   - erases: the delta rule; false leaves what a key already holds where it is, u = β_t v_t: gated linear attention
    ///     with a scalar decay, the recurrence of RetNet and Mamba2
    /// - Returns: outputs [B, T, HV, V] and the state after the last token of each sequence [N, HV, K, V], float32.
    /// - Throws: `ShapeError` naming the argument that does not fit.
    /// - Source: Yang et al. 2024 (arXiv 2412.06464), eq. 10; state stored as [K, V], the transpose of the paper's.
    public func gatedDeltaRule(
        _ q: Variable, _ k: Variable, _ v: Variable, logDecay: Variable?, beta: Variable?,
        initialState: Variable? = nil, sequences: Tensor? = nil, scale: Float? = nil, erases: Bool = true
    ) throws -> (output: Variable, finalState: Variable) {
        let shape = try DeltaRuleShape(
            q: q.value, k: k.value, v: v.value, logDecay: logDecay?.value, beta: beta?.value,
            initialState: initialState?.value, sequences: sequences, scale: scale, erases: erases)
        let inputs = DeltaRuleInputs(q: q, k: k, v: v, logDecay: logDecay, beta: beta, initialState: initialState)
        switch backend {
        case .cpu(let cpu):
            if shape.isOneTokenEach, !needsBackward(inputs.variables) {
                let (output, state) = gatedDeltaRuleOneTokenCPU(cpu, shape, inputs)
                return (Variable(output), Variable(state))
            }
            return gatedDeltaRuleCPU(cpu, shape, inputs)
        case .cuda(let cuda):
            if q.value.dtype == .bfloat16, min(shape.K, shape.V) < 16 {
                // Smaller than a tensor core tile: nothing to gain from bfloat16 operands, and much to lose.
                let results = try gatedDeltaRule(
                    converted(cuda, q, to: .float32), converted(cuda, k, to: .float32),
                    converted(cuda, v, to: .float32), logDecay: logDecay, beta: beta, initialState: initialState,
                    sequences: sequences, scale: scale, erases: erases)
                return (try converted(cuda, results.output, to: .bfloat16), results.finalState)
            }
            let form = try GatedDeltaRuleCUDA(cuda, shape, inputs, boundaries: sequences)
            guard shape.isOneTokenEach, !needsBackward(inputs.variables) else { return try form.record(on: self) }
            let state = try cuda.empty(shape.stateShape)
            let output = try form.step(state: inputs.initialState?.value, newState: state)
            return (Variable(output), Variable(state))
        }
    }
}

/// The operation's variables.
struct DeltaRuleInputs {
    var q: Variable
    var k: Variable
    var v: Variable
    var logDecay: Variable?
    var beta: Variable?
    var initialState: Variable?

    /// Those that are there, in order.
    var variables: [Variable] { [q, k, v] + [logDecay, beta, initialState].compactMap { $0 } }
}
