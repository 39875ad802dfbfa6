import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves nothing of its own: the backward reads a and b again.
    func gatesCPU(
        _ cpu: CPUBackend, _ a: Variable, _ b: Variable, aLog: Variable, dtBias: Variable, strength: Float
    ) -> [Variable] {
        let (decayInput, strengthInput) = (a.value, b.value)
        let (rate, bias) = (aLog.value, dtBias.value)
        let (rows, heads) = (a.shape.rows, a.shape[-1])
        let (logDecay, beta) = (cpu.empty(a.shape), cpu.empty(a.shape))
        cpu.parallel(rows, grain: max(1, 4096 / heads)) { range in
            let start = range.lowerBound * heads
            gdn_gates_forward(
                logDecay.floats + start, beta.floats + start, decayInput.floats + start, strengthInput.floats + start,
                rate.floats, bias.floats, strength, range.count, heads)
        }
        return record([a, b, aLog, dtBias], [logDecay, beta]) { upstream in
            let (da, db) = (cpu.empty(a.shape), cpu.empty(a.shape))
            let sums = cpu.sumOverRowBlocks(rows: rows, shape: [2, heads]) { range, partial in
                let start = range.lowerBound * heads
                gdn_gates_backward(
                    da.floats + start, db.floats + start, partial, partial + heads,
                    upstream[0].map { $0.floats + start }, upstream[1].map { $0.floats + start },
                    decayInput.floats + start, strengthInput.floats + start, rate.floats, bias.floats, strength,
                    range.count, heads)
            }
            return [da, db, sums.slice(0..<1).reshaped([heads]), sums.slice(1..<2).reshaped([heads])]
        }
    }
}
