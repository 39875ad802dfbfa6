import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("swiglu", "SwiGLU/kernel.cu")

extension Tape {
    /// Saves gate and up by reference.
    func swiGLUCUDA(_ cuda: CUDABackend, _ gate: Variable, _ up: Variable) throws -> Variable {
        let (g, u) = (gate.value, up.value)
        let vector = vectorLength([g, u])
        let kernels = try CUDAKernels(cuda, source, g.dtype, [("VECTOR", "\(vector)")])
        let output = try cuda.empty(g.shape, g.dtype)
        try kernels.launch(
            "swiglu_forward", blocks: loopBlocks(g.count / vector), threads: 256,
            [.tensor(output), .tensor(g), .tensor(u), .long(g.count)])
        return record([gate, up], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let (dGate, dUp) = (try cuda.empty(g.shape, g.dtype), try cuda.empty(g.shape, g.dtype))
            try kernels.launch(
                "swiglu_backward", blocks: loopBlocks(g.count / vector), threads: 256,
                [.tensor(dGate), .tensor(dUp), .tensor(upstream), .tensor(g), .tensor(u), .long(g.count)])
            return [dGate, dUp]
        }[0]
    }
}
