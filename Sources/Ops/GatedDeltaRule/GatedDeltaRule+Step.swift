import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Backend {
    /// One token of the gated delta rule for every sequence, the state updated in place: decoding.
    ///
    /// - Parameters:
    ///   - q: [B, 1, H, K];  k: [B, 1, H, K];  v: [B, 1, HV, V]
    ///   - logDecay: log α ≤ 0, [B, 1, HV], float32; no decay when nil
    ///   - beta: [B, 1, HV], float32, in [0, 2], below counts as 0; 1 when nil
    ///   - state: [B, HV, K, V], float32; written to, so it must belong to the caller alone
    ///   - scale: factor of the outputs, K^−½ when nil
    ///   - erases: false: u = β v, gated linear attention
    /// - Returns: outputs [B, 1, HV, V].
    /// - Throws: `ShapeError` naming the argument that does not fit.
    package func gatedDeltaRuleStep(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, logDecay: Tensor?, beta: Tensor?, state: Tensor, scale: Float? = nil,
        erases: Bool = true
    ) throws -> Tensor {
        let shape = try DeltaRuleShape(
            q: q, k: k, v: v, logDecay: logDecay, beta: beta, initialState: state, sequences: nil, scale: scale,
            erases: erases)
        guard shape.T == 1 else {
            throw ShapeError("gated_delta_rule", "q has shape \(q.shape): a step takes one token, [B, 1, H, K]")
        }
        switch self {
        case .cpu(let cpu):
            return gatedDeltaRuleStepCPU(cpu, shape, q, k, v, logDecay: logDecay, beta: beta, state: state)
        case .cuda(let cuda):
            let inputs = DeltaRuleInputs(
                q: Variable(q), k: Variable(k), v: Variable(v), logDecay: logDecay.map { Variable($0) },
                beta: beta.map { Variable($0) })
            return try GatedDeltaRuleCUDA(cuda, shape, inputs, boundaries: nil).step(state: state, newState: state)
        }
    }
}

extension Tape {
    /// One token of every sequence without backward: a step on a copy of the states.
    func gatedDeltaRuleOneTokenCPU(_ cpu: CPUBackend, _ shape: DeltaRuleShape, _ inputs: DeltaRuleInputs)
        -> (output: Tensor, state: Tensor)
    {
        let state: Tensor
        if let initial = inputs.initialState?.value {
            state = cpu.empty(shape.stateShape)
            state.floats.update(from: initial.floats, count: state.count)
        } else {
            state = cpu.zeros(shape.stateShape)
        }
        let output = gatedDeltaRuleStepCPU(
            cpu, shape, inputs.q.value, inputs.k.value, inputs.v.value, logDecay: inputs.logDecay?.value,
            beta: inputs.beta?.value, state: state)
        return (output, state)
    }
}

/// One task a few value heads; each reads and writes its states once.
private func gatedDeltaRuleStepCPU(
    _ cpu: CPUBackend, _ shape: DeltaRuleShape, _ q: Tensor, _ k: Tensor, _ v: Tensor, logDecay: Tensor?, beta: Tensor?,
    state: Tensor
) -> Tensor {
    let output = cpu.empty(v.shape)
    let (queries, keys) = (cpu.convert(q, to: .float32), cpu.convert(k, to: .float32))
    let values = cpu.convert(v, to: .float32)
    let (K, V, group) = (shape.K, shape.V, shape.HV / shape.H)
    cpu.parallel(shape.sequences.count * shape.HV, grain: max(1, 8192 / (K * V))) { heads in
        var dims = shape.kernelShape
        for head in heads {
            let key = head / group * K
            gdn_delta_step(
                &dims, state.floats + head * K * V, output.floats + head * V, queries.floats + key, keys.floats + key,
                values.floats + head * V, logDecay.map { Float.exponential($0.floats[head]) } ?? 1,
                beta.map { $0.floats[head] } ?? 1)
        }
    }
    return cpu.convert(output, to: v.dtype)
}
