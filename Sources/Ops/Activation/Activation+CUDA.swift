import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("activation", "Activation/kernel.cu")

extension Activation {
    /// The number the CUDA sources know it by.
    var cudaCode: String {
        switch self {
        case .none: "0"
        case .silu: "1"
        case .relu: "2"
        case .onePlusELU: "3"
        }
    }
}

extension Tape {
    /// Saves x by reference.
    func activationCUDA(_ cuda: CUDABackend, _ x: Variable, _ activation: Activation) throws -> Variable {
        let input = x.value
        let vector = vectorLength([input])
        let kernels = try CUDAKernels(
            cuda, source, input.dtype, [("VECTOR", "\(vector)"), ("ACTIVATION", activation.cudaCode)])
        let output = try cuda.empty(x.shape, input.dtype)
        try kernels.launch(
            "activation_forward", blocks: loopBlocks(input.count / vector), threads: 256,
            [.tensor(output), .tensor(input), .long(input.count)])
        return record([x], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            let dx = try cuda.empty(input.shape, input.dtype)
            try kernels.launch(
                "activation_backward", blocks: loopBlocks(input.count / vector), threads: 256,
                [.tensor(dx), .tensor(upstream), .tensor(input), .long(input.count)])
            return [dx]
        }[0]
    }
}
