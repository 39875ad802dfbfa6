import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let prepareSource = kernelSource(
    "gated_delta_rule_prepare", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/prepare.cu")
private let forwardScanSource = kernelSource(
    "gated_delta_rule_forward_scan", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/warpgroup.cuh",
    "GatedDeltaRule/scan.cuh", "GatedDeltaRule/forward_pass.cuh", "GatedDeltaRule/forward_scan.cu")
private let backwardScanSource = kernelSource(
    "gated_delta_rule_backward_scan", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/warpgroup.cuh",
    "GatedDeltaRule/scan.cuh", "GatedDeltaRule/backward_pass.cuh", "GatedDeltaRule/backward_scan.cu")
private let segmentSource = kernelSource(
    "gated_delta_rule_segments", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/warpgroup.cuh", "GatedDeltaRule/scan.cuh",
    "GatedDeltaRule/forward_pass.cuh", "GatedDeltaRule/backward_pass.cuh", "GatedDeltaRule/segments.cu")
private let gradientSource = kernelSource(
    "gated_delta_rule_gradients", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/gradients.cu")
private let stepSource = kernelSource("gated_delta_rule_step", "GatedDeltaRule/chunk.cuh", "GatedDeltaRule/step.cu")

/// The chunkwise form for a GPU: prepare → scan; backward: states → reverse scan → gradients → decay. Long sequences of few
/// heads are divided into segments, whose start states, and end gradients, are found first.
///
/// Saves q, k and the gates by reference, and by its own: the solved values U (in place of v), and for each chunk of 64
/// tokens and value head the inverse and the scores (64 × 64 elements each) and five floats a token; for each segment and
/// value head its start state and transition, [K, V] and [K, K].
struct GatedDeltaRuleCUDA {
    let cuda: CUDABackend
    let shape: DeltaRuleShape
    let inputs: DeltaRuleInputs
    /// Boundaries of packed sequences, on the device.
    let boundaries: Tensor?
    fileprivate let plan: DeltaRulePlan

    init(_ cuda: CUDABackend, _ shape: DeltaRuleShape, _ inputs: DeltaRuleInputs, boundaries: Tensor?) throws {
        self.cuda = cuda
        self.shape = shape
        self.inputs = inputs
        self.boundaries = boundaries
        plan = try DeltaRulePlan(
            cuda.description, shape, inputs.q.value.dtype, isPacked: boundaries != nil)
    }

    /// Computes outputs and final states and records the backward.
    func record(on tape: Tape) throws -> (output: Variable, finalState: Variable) {
        let (q, k, v) = (inputs.q.value, inputs.k.value, inputs.v.value)
        let state = inputs.initialState?.value
        let dtype = q.dtype
        let variables = inputs.variables
        let records = tape.needsBackward(variables)
        let count = shape.sequenceCount
        let slots = plan.chunkCapacity * shape.HV
        let prepare = try CUDAKernels(cuda, prepareSource, dtype, plan.defines)
        let scan = try CUDAKernels(cuda, forwardScanSource, dtype, plan.scanDefines)
        let backwardScan = try CUDAKernels(cuda, backwardScanSource, dtype, plan.defines)

        let chunks = try cuda.empty([plan.chunkCapacity, 4], .int32)
        let firstChunk = try cuda.empty([count + 1], .int32)
        let segments = try cuda.empty([plan.segmentCapacity, 4], .int32)
        let firstSegment = try cuda.empty([count + 1], .int32)
        try prepare.launch(
            "gated_delta_rule_chunk_table", blocks: 1, threads: 256,
            [
                .tensor(chunks), .tensor(firstChunk), .tensor(segments), .tensor(firstSegment), .optional(boundaries),
                .int(count), .int(shape.T), .int(plan.chunkCapacity), .int(plan.segmentCapacity),
                .int(plan.chunksPerSegment),
            ])
        let inverse = try cuda.empty([slots, 64, 64], dtype)
        let scores = try cuda.empty([slots, 64, 64], dtype)
        let gates = try cuda.empty([slots, 5, 64])
        try prepare.launch(
            "gated_delta_rule_forward_prepare", blocks: slots, threads: 128, shared: plan.prepareBytes,
            [
                .tensor(inverse), .tensor(scores), .tensor(gates), .tensor(q), .tensor(k),
                .optional(inputs.logDecay?.value), .optional(inputs.beta?.value), .tensor(chunks), .int(shape.HV),
                .float(shape.scale),
            ])
        let table: [KernelArgument] = [.tensor(chunks), .tensor(segments), .int(shape.HV)]
        let division =
            try plan.divides
            ? Division(
                self, table: table, firstSegment: firstSegment, inverse: inverse, gates: gates, initialState: state)
            : nil
        let output = try cuda.empty(v.shape, dtype)
        let solved = try records ? cuda.empty(v.shape, dtype) : nil
        let finalState = try cuda.empty(shape.stateShape)
        let blocks = plan.segmentCapacity * shape.HV * plan.valueTiles
        try scan.launch(
            "gated_delta_rule_forward_scan", blocks: blocks, threads: plan.scanThreads, shared: plan.scanBytes,
            [
                .tensor(output), .optional(solved), .tensor(finalState), .tensor(q), .tensor(k), .tensor(v),
                .tensor(inverse), .tensor(scores), .tensor(gates), .optional(division?.starts ?? state),
            ] + table + [.float(shape.scale)])

        let values = v.shape
        let (decayShape, betaShape) = (inputs.logDecay?.shape, inputs.beta?.shape)
        let (argumentCount, hasState) = (variables.count, inputs.initialState != nil)
        let results = tape.record(variables, [output, finalState]) { [cuda, shape, plan] upstream in
            guard let solved else { return Array(repeating: nil, count: argumentCount) }
            let dOut = try upstream[0] ?? cuda.zeros(values, dtype)
            let states = try cuda.empty([slots, shape.V, shape.K], dtype)
            try backwardScan.launch(
                "gated_delta_rule_backward_states", blocks: blocks, threads: plan.scanThreads, shared: plan.stateBytes,
                [
                    .tensor(states), .tensor(k), .tensor(solved), .tensor(gates), .optional(division?.starts ?? state),
                ] + table)
            let dv = try cuda.empty(values, dtype)
            let dStates = try cuda.empty([slots, shape.V, shape.K], dtype)
            let ends = try division?.ends(
                dOut, inverse: inverse, scores: scores, gates: gates, dFinalState: upstream[1])
            let dInitial = try hasState ? cuda.empty(shape.stateShape) : nil
            try backwardScan.launch(
                "gated_delta_rule_backward_scan", blocks: blocks, threads: plan.scanThreads,
                shared: plan.backwardScanBytes,
                [
                    .tensor(dv), .tensor(dStates), .optional(dInitial), .tensor(q), .tensor(k), .tensor(dOut),
                    .tensor(inverse), .tensor(scores), .tensor(gates), .optional(ends ?? upstream[1]),
                ] + table + [.float(shape.scale)])

            let gradients = try CUDAKernels(cuda, gradientSource, dtype, plan.gradientDefines)
            let (dq, dk) = (try cuda.empty(q.shape, dtype), try cuda.empty(k.shape, dtype))
            let tokens = shape.B * shape.T
            let dBeta = try betaShape.map { try cuda.empty($0) }
            let dCumulative = try cuda.empty([plan.keyTiles, tokens, shape.HV])
            let items = plan.chunkCapacity * shape.H * plan.keyTiles
            try gradients.launch(
                "gated_delta_rule_backward_gradients", blocks: min(items, cuda.description.multiprocessors),
                threads: 256, shared: plan.gradientBytes,
                [
                    .tensor(dq), .tensor(dk), .optional(dBeta), .tensor(dCumulative), .tensor(q), .tensor(k),
                    .tensor(solved), .tensor(dOut), .tensor(dv), .tensor(states), .tensor(dStates), .tensor(gates),
                    .tensor(chunks), .int(shape.H), .long(tokens), .float(shape.scale), .int(items),
                ])
            let dDecay = try decayShape.map { try cuda.empty($0) }
            if let dDecay {
                try gradients.launch(
                    "gated_delta_rule_backward_decay", blocks: slots, threads: 64,
                    [.tensor(dDecay), .tensor(dCumulative), .tensor(chunks), .int(shape.HV), .long(tokens)])
            }
            let present: [Tensor] = [dq, dk, dv] + [dDecay, dBeta, dInitial].compactMap { $0 }
            return present
        }
        return (results[0], results[1])
    }

    /// One token of every sequence: outputs; `newState` may be `state`.
    func step(state: Tensor?, newState: Tensor) throws -> Tensor {
        let v = inputs.v.value
        let output = try cuda.empty(v.shape, v.dtype)
        let kernels = try CUDAKernels(cuda, stepSource, v.dtype, plan.defines)
        try kernels.launch(
            "gated_delta_rule_step", blocks: shape.sequenceCount * shape.HV * ((shape.V + 31) / 32), threads: 128,
            [
                .tensor(output), .tensor(newState), .tensor(inputs.q.value), .tensor(inputs.k.value), .tensor(v),
                .optional(inputs.logDecay?.value), .optional(inputs.beta?.value), .optional(state), .int(shape.HV),
                .float(shape.scale),
            ])
        return output
    }
}

/// Long sequences as segments (`segments.cu`): their transitions and start states, and in the backward their end gradients.
private struct Division {
    /// State at the start of every segment, [segments, HV, K, V], float32.
    let starts: Tensor
    private let form: GatedDeltaRuleCUDA
    private let table: [KernelArgument]
    private let firstSegment: Tensor
    /// M of every segment, [segments, HV, K, K], float32.
    private let transitions: Tensor

    /// Finds the start states.
    init(
        _ form: GatedDeltaRuleCUDA, table: [KernelArgument], firstSegment: Tensor, inverse: Tensor, gates: Tensor,
        initialState: Tensor?
    ) throws {
        let (cuda, shape, plan) = (form.cuda, form.shape, form.plan)
        (self.form, self.table, self.firstSegment) = (form, table, firstSegment)
        starts = try cuda.empty([plan.segmentCapacity, shape.HV, shape.K, shape.V])
        transitions = try cuda.empty([plan.segmentCapacity, shape.HV, shape.K, shape.K])
        let changes = try cuda.empty(starts.shape)
        let (k, v) = (form.inputs.k.value, form.inputs.v.value)
        let kernels = try CUDAKernels(cuda, segmentSource, v.dtype, plan.segmentDefines)
        try kernels.launch(
            "gated_delta_rule_forward_segments", blocks: plan.segmentCapacity * shape.HV * plan.segmentTiles,
            threads: plan.segmentThreads, shared: plan.segmentBytes,
            [
                .tensor(changes), .tensor(transitions), .tensor(k), .tensor(v), .tensor(inverse), .tensor(gates),
                .optional(initialState),
            ] + table)
        try kernels.launch(
            "gated_delta_rule_join_forward", blocks: joinBlocks, threads: 256,
            [
                .tensor(starts), .tensor(changes), .tensor(transitions), .optional(initialState),
                .tensor(firstSegment), .int(shape.HV),
            ])
    }

    /// The gradient of the state at the end of every segment, [segments, HV, K, V], float32.
    func ends(_ dOut: Tensor, inverse: Tensor, scores: Tensor, gates: Tensor, dFinalState: Tensor?) throws -> Tensor {
        let (cuda, shape, plan) = (form.cuda, form.shape, form.plan)
        let (changes, ends) = (try cuda.empty(starts.shape), try cuda.empty(starts.shape))
        let kernels = try CUDAKernels(cuda, segmentSource, dOut.dtype, plan.scanDefines)
        try kernels.launch(
            "gated_delta_rule_backward_segments", blocks: plan.segmentCapacity * shape.HV * plan.valueTiles,
            threads: plan.scanThreads, shared: plan.scanBytes,
            [
                .tensor(changes), .tensor(form.inputs.q.value), .tensor(form.inputs.k.value), .tensor(dOut),
                .tensor(inverse), .tensor(scores), .tensor(gates), .optional(dFinalState),
            ] + table + [.float(shape.scale)])
        try kernels.launch(
            "gated_delta_rule_join_backward", blocks: joinBlocks, threads: 256,
            [
                .tensor(ends), .tensor(changes), .tensor(transitions), .optional(dFinalState), .tensor(firstSegment),
                .int(shape.HV),
            ])
        return ends
    }

    private var joinBlocks: Int { form.shape.sequenceCount * form.shape.HV * ((form.shape.V + 15) / 16) }
}
