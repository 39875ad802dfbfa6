import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves q, k, the gates (by reference), and per chunk of 64 tokens and value head the errors [64, V] and the state
    /// at its start [V, K]; not v, not the outputs.
    func gatedDeltaRuleCPU(_ cpu: CPUBackend, _ shape: DeltaRuleShape, _ inputs: DeltaRuleInputs)
        -> (output: Variable, finalState: Variable)
    {
        let dtype = inputs.q.value.dtype
        var inputs = inputs
        (inputs.q, inputs.k) = (converted(cpu, inputs.q, to: .float32), converted(cpu, inputs.k, to: .float32))
        inputs.v = converted(cpu, inputs.v, to: .float32)
        let variables = inputs.variables
        let values = DeltaRuleTensors(inputs)
        let saved = needsBackward(variables) ? DeltaRuleSaved(cpu, shape) : nil
        let (output, finalState) = values.forward(cpu, shape, saved)
        let results = record(variables, [output, finalState]) { upstream in
            guard let saved else { return variables.map { _ in nil } }
            let gradients = values.backward(cpu, shape, saved, output: upstream[0], finalState: upstream[1])
            let optional: [Tensor?] = [gradients.logDecay, gradients.beta, gradients.initialState]
            let present: [Tensor] = [gradients.q, gradients.k, gradients.v] + optional.compactMap { $0 }
            return present
        }
        return (converted(cpu, results[0], to: dtype), results[1])
    }
}

/// What the forward leaves for the backward.
struct DeltaRuleSaved {
    /// Errors before the write strength, chunks × HV × 64 × V, padded.
    let errors: Tensor
    /// Transposed states at chunk starts, chunks × HV × V × K, padded.
    let states: Tensor
    private let errorCount: Int
    private let stateCount: Int
    private let firstChunks: [Int]
    private let valueHeads: Int

    init(_ cpu: CPUBackend, _ shape: DeltaRuleShape) {
        let (keys, values) = ((shape.K + 31) / 32 * 32, (shape.V + 31) / 32 * 32)
        let chunkLength = Int(GDN_DELTA_CHUNK)
        var firstChunks = [0]
        for tokens in shape.sequences {
            firstChunks.append((firstChunks.last ?? 0) + (tokens.count + chunkLength - 1) / chunkLength)
        }
        let units = (firstChunks.last ?? 0) * shape.HV
        errorCount = chunkLength * values
        stateCount = keys * values
        errors = cpu.empty([units * errorCount])
        states = cpu.empty([units * stateCount])
        self.firstChunks = firstChunks
        valueHeads = shape.HV
    }

    /// Addresses of the first chunk of one value head of one sequence.
    func start(sequence: Int, head: Int) -> (errors: UnsafeMutablePointer<Float>, states: UnsafeMutablePointer<Float>) {
        let chunks = firstChunks[sequence + 1] - firstChunks[sequence]
        let unit = firstChunks[sequence] * valueHeads + head * chunks
        return (errors.floats + unit * errorCount, states.floats + unit * stateCount)
    }
}

/// Gradients of the operation's arguments.
struct DeltaRuleGradients {
    var q: Tensor
    var k: Tensor
    var v: Tensor
    var logDecay: Tensor?
    var beta: Tensor?
    var initialState: Tensor?
}

/// The operation's arguments as float32 tensors in main memory.
struct DeltaRuleTensors {
    let q: Tensor
    let k: Tensor
    let v: Tensor
    let logDecay: Tensor?
    let beta: Tensor?
    let initialState: Tensor?

    init(_ inputs: DeltaRuleInputs) {
        (q, k, v) = (inputs.q.value, inputs.k.value, inputs.v.value)
        (logDecay, beta) = (inputs.logDecay?.value, inputs.beta?.value)
        initialState = inputs.initialState?.value
    }

    /// One task a value head of a sequence; where those are fewer than threads, also a range of value columns.
    func forward(_ cpu: CPUBackend, _ shape: DeltaRuleShape, _ saved: DeltaRuleSaved?) -> (Tensor, Tensor) {
        let output = cpu.empty([shape.B, shape.T, shape.HV, shape.V])
        let finalState = cpu.empty(shape.stateShape)
        let heads = shape.sequences.count * shape.HV
        let panels = (shape.V + 31) / 32
        let splits = min(panels, (cpu.threadCount + heads - 1) / heads)
        cpu.parallel(heads * splits, grain: 1) { tasks in
            var dims = shape.kernelShape
            let scratch = cpu.empty([gdn_delta_forward_scratch(&dims)])
            for task in tasks {
                let (unit, split) = (task / splits, task % splits)
                let (sequence, head) = (unit / shape.HV, unit % shape.HV)
                let (first, last) = (panels * split / splits, panels * (split + 1) / splits)
                let start = saved?.start(sequence: sequence, head: head)
                var inputs = addresses(shape, sequence: sequence, valueHead: head)
                gdn_delta_forward(
                    &dims, shape.sequences[sequence].count, first, last - first, &inputs,
                    output.floats + shape.valueOffset(sequence, head),
                    finalState.floats + shape.stateOffset(sequence, head),
                    start?.errors, start?.states, scratch.floats)
            }
        }
        return (output, finalState)
    }

    /// One task a key head of a sequence: it adds the shares of its value heads to dq and dk in order.
    func backward(
        _ cpu: CPUBackend, _ shape: DeltaRuleShape, _ saved: DeltaRuleSaved, output: Tensor?, finalState: Tensor?
    ) -> DeltaRuleGradients {
        let gradients = DeltaRuleGradients(
            q: cpu.empty(q.shape), k: cpu.empty(k.shape), v: cpu.empty(v.shape),
            logDecay: logDecay.map { cpu.empty($0.shape) }, beta: beta.map { cpu.empty($0.shape) },
            initialState: initialState.map { cpu.empty($0.shape) })
        let group = shape.HV / shape.H
        cpu.parallel(shape.sequences.count * shape.H, grain: 1) { units in
            var dims = shape.kernelShape
            let scratch = cpu.empty([gdn_delta_backward_scratch(&dims)])
            for unit in units {
                let (sequence, keyHead) = (unit / shape.H, unit % shape.H)
                let head = keyHead * group
                let start = saved.start(sequence: sequence, head: head)
                let (keys, values) = (shape.keyOffset(sequence, keyHead), shape.valueOffset(sequence, head))
                let (gate, state) = (shape.gateOffset(sequence, head), shape.stateOffset(sequence, head))
                var inputs = addresses(shape, sequence: sequence, valueHead: head)
                var outgoing = gdn_delta_gradients(
                    output: output.map { UnsafePointer($0.floats + values) },
                    final_state: finalState.map { UnsafePointer($0.floats + state) },
                    q: gradients.q.floats + keys, k: gradients.k.floats + keys, v: gradients.v.floats + values,
                    log_decay: gradients.logDecay.map { $0.floats + gate },
                    beta: gradients.beta.map { $0.floats + gate },
                    initial_state: gradients.initialState.map { $0.floats + state })
                gdn_delta_backward(
                    &dims, shape.sequences[sequence].count, &inputs, start.errors, start.states, &outgoing,
                    scratch.floats)
            }
        }
        return gradients
    }

    private func addresses(_ shape: DeltaRuleShape, sequence: Int, valueHead: Int) -> gdn_delta_inputs {
        let keys = shape.keyOffset(sequence, valueHead * shape.H / shape.HV)
        let gate = shape.gateOffset(sequence, valueHead)
        return gdn_delta_inputs(
            q: UnsafePointer(q.floats + keys), k: UnsafePointer(k.floats + keys),
            v: UnsafePointer(v.floats + shape.valueOffset(sequence, valueHead)),
            log_decay: logDecay.map { UnsafePointer($0.floats + gate) },
            beta: beta.map { UnsafePointer($0.floats + gate) },
            initial_state: initialState.map { UnsafePointer($0.floats + shape.stateOffset(sequence, valueHead)) })
    }
}

extension DeltaRuleShape {
    /// The dimensions as the kernels take them.
    var kernelShape: gdn_delta_shape {
        gdn_delta_shape(key_heads: H, value_heads: HV, key_dim: K, value_dim: V, scale: scale)
    }

    /// Offset of a sequence's first token and a key head in [B, T, H, K].
    func keyOffset(_ sequence: Int, _ head: Int) -> Int { (sequences[sequence].lowerBound * H + head) * K }

    /// Offset of a sequence's first token and a value head in [B, T, HV, V].
    func valueOffset(_ sequence: Int, _ head: Int) -> Int { (sequences[sequence].lowerBound * HV + head) * V }

    /// Offset of a sequence's first token and a value head in [B, T, HV].
    func gateOffset(_ sequence: Int, _ head: Int) -> Int { sequences[sequence].lowerBound * HV + head }

    /// Offset of a sequence and a value head in [N, HV, K, V].
    func stateOffset(_ sequence: Int, _ head: Int) -> Int { (sequence * HV + head) * K * V }
}
