import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gates", "Gates/kernel.cu")

extension Tape {
    /// Saves nothing of its own: the backward reads a and b again.
    func gatesCUDA(
        _ cuda: CUDABackend, _ a: Variable, _ b: Variable, aLog: Variable, dtBias: Variable, strength: Float
    ) throws -> [Variable] {
        let (decayInput, strengthInput) = (a.value, b.value)
        let (rate, bias) = (aLog.value, dtBias.value)
        let (rows, heads) = (a.shape.rows, a.shape[-1])
        let kernels = try CUDAKernels(cuda, source, decayInput.dtype)
        let (logDecay, beta) = (try cuda.empty(a.shape), try cuda.empty(a.shape))
        try kernels.launch(
            "gates_forward", blocks: loopBlocks(rows * heads), threads: 256,
            [
                .tensor(logDecay), .tensor(beta), .tensor(decayInput), .tensor(strengthInput), .tensor(rate),
                .tensor(bias), .float(strength), .long(rows), .int(heads),
            ])
        return record([a, b, aLog, dtBias], [logDecay, beta]) { upstream in
            let da = try cuda.empty(decayInput.shape, decayInput.dtype)
            let db = try cuda.empty(decayInput.shape, decayInput.dtype)
            let rowsABlock = 64
            var across = 2
            while across < min(32, heads) { across *= 2 }
            let blocks = (rows + rowsABlock - 1) / rowsABlock
            let partial = try cuda.empty([blocks, 2 * heads])
            try kernels.launch(
                "gates_backward", grid: (blocks, (heads + across - 1) / across), threads: 256,
                [
                    .tensor(da), .tensor(db), .tensor(partial), .optional(upstream[0]), .optional(upstream[1]),
                    .tensor(decayInput), .tensor(strengthInput), .tensor(rate), .tensor(bias), .float(strength),
                    .long(rows), .int(heads), .int(across), .int(rowsABlock),
                ])
            let sums = try cuda.sumRows(partial).reshaped([2, heads])
            return [da, db, sums.slice(0..<1).reshaped([heads]), sums.slice(1..<2).reshaped([heads])]
        }
    }
}
