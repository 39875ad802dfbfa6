import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("swiglu", "SwiGLU/kernel.cu")

extension Tape {
    /// Saves gate and up by reference; the result can be computed again from these.
    func swiGLUCUDA(_ cuda: CUDABackend, _ gate: Variable, _ up: Variable) throws -> Variable {
        let (g, u) = (gate.value, up.value)
        let vector = vectorLength([g, u])
        let kernels = try CUDAKernels(cuda, source, g.dtype, [("VECTOR", "\(vector)")])
        let forward: () throws -> Tensor = {
            let output = try cuda.empty(g.shape, g.dtype)
            try kernels.launch(
                "swiglu_forward", blocks: loopBlocks(g.count / vector), threads: 256,
                [.tensor(output), .tensor(g), .tensor(u), .long(g.count)])
            return output
        }
        let result = record([gate, up], [try forward()]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let (dGate, dUp) = (try cuda.empty(g.shape, g.dtype), try cuda.empty(g.shape, g.dtype))
            try kernels.launch(
                "swiglu_backward", blocks: loopBlocks(g.count / vector), threads: 256,
                [.tensor(dGate), .tensor(dUp), .tensor(upstream), .tensor(g), .tensor(u), .long(g.count)])
            return [dGate, dUp]
        }[0]
        if needsBackward([gate, up]) { result.recomputed = forward }
        return result
    }
}
