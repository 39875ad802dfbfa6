import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

/// One backward pass: what it reads and writes, and the two ways to divide it among threads.
struct DeltaRuleBackward {
    let shape: DeltaRuleShape
    let tensors: DeltaRuleTensors
    let saved: DeltaRuleSaved
    let dOutput: Tensor?
    let dFinalState: Tensor?
    let gradients: DeltaRuleGradients

    private var group: Int { shape.HV / shape.H }

    /// One task a key head of a sequence.
    func byKeyHeads(_ cpu: CPUBackend, _ heads: Int) {
        cpu.parallel(heads, grain: 1) { units in
            var dims = shape.kernelShape
            let scratch = cpu.empty([gdn_delta_backward_scratch(&dims)])
            for unit in units {
                let (sequence, keyHead) = (unit / shape.H, unit % shape.H)
                let start = saved.start(sequence: sequence, head: keyHead * group)
                var (inputs, outgoing) = addresses(sequence, keyHead)
                gdn_delta_backward(
                    &dims, shape.sequences[sequence].count, &inputs, start.errors, start.states, &outgoing,
                    scratch.floats)
            }
        }
    }

    /// First the scans, one task a value head and range of value columns; then the rest, one task a chunk.
    func inTwoSteps(_ cpu: CPUBackend) {
        var dims = shape.kernelShape
        let (scratchCount, scanCount) = (gdn_delta_backward_scratch(&dims), gdn_delta_scan_floats(&dims))
        let scans = cpu.empty([saved.units * scanCount])
        let heads = shape.sequences.count * shape.HV
        let panels = (shape.V + 31) / 32
        let splits = min(panels, max(2, cpu.threadCount / heads))
        cpu.parallel(heads * splits, grain: 1) { tasks in
            var dims = shape.kernelShape
            let scratch = cpu.empty([scratchCount])
            for task in tasks {
                let (unit, split) = (task / splits, task % splits)
                let (sequence, head) = (unit / shape.HV, unit % shape.HV)
                let (first, last) = (panels * split / splits, panels * (split + 1) / splits)
                var (inputs, outgoing) = addresses(sequence, head / group)
                gdn_delta_backward_scan(
                    &dims, shape.sequences[sequence].count, head % group, first, last - first, &inputs,
                    saved.start(sequence: sequence, head: head / group * group).errors, &outgoing,
                    scanStart(scans, scanCount, sequence, head / group), scratch.floats)
            }
        }
        let chunks = shape.sequences.indices.flatMap { sequence in
            (0..<shape.H * saved.chunks(sequence)).map { (sequence: sequence, index: $0) }
        }
        cpu.parallel(chunks.count, grain: 1) { tasks in
            var dims = shape.kernelShape
            let scratch = cpu.empty([scratchCount])
            for (sequence, index) in chunks[tasks] {
                let (keyHead, chunk) = (index / saved.chunks(sequence), index % saved.chunks(sequence))
                let start = saved.start(sequence: sequence, head: keyHead * group)
                var (inputs, outgoing) = addresses(sequence, keyHead)
                gdn_delta_backward_chunk(
                    &dims, shape.sequences[sequence].count, chunk, &inputs, start.errors, start.states, &outgoing,
                    scanStart(scans, scanCount, sequence, keyHead), scratch.floats)
            }
        }
    }

    private func scanStart(_ scans: Tensor, _ count: Int, _ sequence: Int, _ keyHead: Int)
        -> UnsafeMutablePointer<Float>
    {
        scans.floats + saved.firstUnit(sequence: sequence, head: keyHead * group) * count
    }

    /// Addresses of one sequence from the first value head of one key head on.
    private func addresses(_ sequence: Int, _ keyHead: Int) -> (gdn_delta_inputs, gdn_delta_gradients) {
        let head = keyHead * group
        let (keys, values) = (shape.keyOffset(sequence, keyHead), shape.valueOffset(sequence, head))
        let (gate, state) = (shape.gateOffset(sequence, head), shape.stateOffset(sequence, head))
        let outgoing = gdn_delta_gradients(
            output: dOutput.map { UnsafePointer($0.floats + values) },
            final_state: dFinalState.map { UnsafePointer($0.floats + state) },
            q: gradients.q.floats + keys, k: gradients.k.floats + keys, v: gradients.v.floats + values,
            log_decay: gradients.logDecay.map { $0.floats + gate },
            beta: gradients.beta.map { $0.floats + gate },
            initial_state: gradients.initialState.map { $0.floats + state })
        return (tensors.addresses(shape, sequence: sequence, valueHead: head), outgoing)
    }
}
