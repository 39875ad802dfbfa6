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

extension CPUBackend {
    /// Whether this many equal tasks keep the threads busy for less than two thirds of the time.
    fileprivate func leavesThreadsIdle(_ tasks: Int) -> Bool {
        let rounds = (tasks + threadCount - 1) / threadCount
        return rounds * threadCount * 2 > tasks * 3
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

    /// Number of chunks of one sequence.
    func chunks(_ sequence: Int) -> Int { firstChunks[sequence + 1] - firstChunks[sequence] }

    /// Number of chunks of all sequences and value heads.
    var units: Int { (firstChunks.last ?? 0) * valueHeads }

    /// Number of the first chunk of one value head of one sequence among them.
    func firstUnit(sequence: Int, head: Int) -> Int {
        firstChunks[sequence] * valueHeads + head * chunks(sequence)
    }

    /// Addresses of the first chunk of one value head of one sequence.
    func start(sequence: Int, head: Int) -> (errors: UnsafeMutablePointer<Float>, states: UnsafeMutablePointer<Float>) {
        let unit = firstUnit(sequence: sequence, head: head)
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

    /// One task a value head of a sequence, and where those leave threads idle, a range of value columns.
    func forward(_ cpu: CPUBackend, _ shape: DeltaRuleShape, _ saved: DeltaRuleSaved?) -> (Tensor, Tensor) {
        let output = cpu.empty([shape.B, shape.T, shape.HV, shape.V])
        let finalState = cpu.empty(shape.stateShape)
        let heads = shape.sequences.count * shape.HV
        let panels = (shape.V + 31) / 32
        let splits = cpu.leavesThreadsIdle(heads) ? min(panels, max(2, cpu.threadCount / heads)) : 1
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

    /// One task a key head of a sequence, which adds the shares of its value heads to dq and dk in order; where those
    /// leave threads idle, one task a value head and range of value columns, then one a chunk: the same bits.
    func backward(
        _ cpu: CPUBackend, _ shape: DeltaRuleShape, _ saved: DeltaRuleSaved, output: Tensor?, finalState: Tensor?
    ) -> DeltaRuleGradients {
        let gradients = DeltaRuleGradients(
            q: cpu.empty(q.shape), k: cpu.empty(k.shape), v: cpu.empty(v.shape),
            logDecay: logDecay.map { cpu.empty($0.shape) }, beta: beta.map { cpu.empty($0.shape) },
            initialState: initialState.map { cpu.empty($0.shape) })
        let heads = shape.sequences.count * shape.H
        let run = DeltaRuleBackward(
            shape: shape, tensors: self, saved: saved, dOutput: output, dFinalState: finalState, gradients: gradients)
        if cpu.leavesThreadsIdle(heads) {
            run.inTwoSteps(cpu)
        } else {
            run.byKeyHeads(cpu, heads)
        }
        return gradients
    }

    /// Addresses of one sequence from one value head on.
    func addresses(_ shape: DeltaRuleShape, sequence: Int, valueHead: Int) -> gdn_delta_inputs {
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
