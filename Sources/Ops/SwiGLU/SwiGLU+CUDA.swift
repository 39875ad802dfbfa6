import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("swiglu", "SwiGLU/kernel.cu")

extension Tape {
    /// Saves gate and up by reference, which may lie beside each other; the result can be computed again from these.
    func swiGLUCUDA(_ cuda: CUDABackend, _ gate: Columns, _ up: Columns) throws -> Variable {
        let (shape, dtype, count) = (gate.shape, gate.dtype, gate.shape.count)
        let vector = vectorLength([gate, up])
        let kernels = try CUDAKernels(cuda, source, dtype, [("VECTOR", "\(vector)")])
        let extents: [KernelArgument] = [.long(count), .int(gate.width), .int(gate.pitch), .int(up.pitch)]
        let forward: () throws -> Tensor = {
            let output = try cuda.empty(shape, dtype)
            try kernels.launch(
                "swiglu_forward", blocks: loopBlocks(count / vector), threads: 256,
                [.tensor(output), gate.argument, up.argument] + extents)
            return output
        }
        let result = record([gate.rows, up.rows], [try forward()]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let (dGate, dUp) = (try gate.gradient(on: cuda), try up.gradient(on: cuda))
            try kernels.launch(
                "swiglu_backward", blocks: loopBlocks(count / vector), threads: 256,
                [dGate.argument, dUp.argument, .tensor(upstream), gate.argument, up.argument] + extents)
            return [dGate.forTape, dUp.forTape]
        }[0]
        if needsBackward([gate.rows, up.rows]) { result.recomputed = forward }
        return result
    }
}
