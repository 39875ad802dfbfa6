import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gates", "Gates/kernel.cu")

extension Tape {
    /// Saves nothing of its own: the backward reads a and b again, which may lie beside other results.
    func gatesCUDA(
        _ cuda: CUDABackend, _ a: Columns, _ b: Columns, aLog: Variable, dtBias: Variable, strength: Float
    ) throws -> [Variable] {
        let inputs = [a.argument, b.argument]
        let pitches: [KernelArgument] = [.int(a.pitch), .int(b.pitch)]
        let (rate, bias) = (aLog.value, dtBias.value)
        let (rows, heads) = (a.shape.rows, a.shape[-1])
        let kernels = try CUDAKernels(cuda, source, a.dtype)
        let (logDecay, beta) = (try cuda.empty(a.shape), try cuda.empty(a.shape))
        try kernels.launch(
            "gates_forward", blocks: loopBlocks(rows * heads), threads: 256,
            [.tensor(logDecay), .tensor(beta)] + inputs
                + [.tensor(rate), .tensor(bias), .float(strength), .long(rows), .int(heads)] + pitches)
        return record([a.rows, b.rows, aLog, dtBias], [logDecay, beta]) { upstream in
            let (da, db) = (try a.gradient(on: cuda, fillsRoom: true), try b.gradient(on: cuda, fillsRoom: true))
            let (rowsABlock, room) = (64, max(a.room, b.room))
            var across = 2
            while across < min(32, room) { across *= 2 }
            let blocks = (rows + rowsABlock - 1) / rowsABlock
            let partial = try cuda.empty([blocks, 2 * heads])
            try kernels.launch(
                "gates_backward", grid: (blocks, (room + across - 1) / across), threads: 256,
                [da.argument, db.argument, .tensor(partial), .optional(upstream[0]), .optional(upstream[1])] + inputs
                    + [.tensor(rate), .tensor(bias), .float(strength), .long(rows), .int(heads)] + pitches
                    + [.int(a.room), .int(b.room), .int(across), .int(rowsABlock)])
            let sums = try cuda.sumRows(partial).reshaped([2, heads])
            return [
                da.forTape, db.forTape, sums.slice(0..<1).reshaped([heads]), sums.slice(1..<2).reshaped([heads]),
            ]
        }
    }
}
