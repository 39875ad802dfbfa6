import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Activation {
    /// The number the kernels know it by.
    var kernelCode: Int32 {
        switch self {
        case .none: Int32(GDN_ACTIVATION_NONE)
        case .silu: Int32(GDN_ACTIVATION_SILU)
        case .relu: Int32(GDN_ACTIVATION_RELU)
        case .onePlusELU: Int32(GDN_ACTIVATION_ONE_PLUS_ELU)
        }
    }
}

extension Tape {
    /// Saves x by reference and nothing else.
    func activationCPU(_ cpu: CPUBackend, _ x: Variable, _ activation: Activation) -> Variable {
        let input = x.value
        let code = activation.kernelCode
        let output = cpu.empty(x.shape)
        cpu.parallel(input.count, grain: 8192) { range in
            let start = range.lowerBound
            gdn_activation_forward(output.floats + start, input.floats + start, code, range.count)
        }
        return record([x], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            let dx = cpu.empty(input.shape)
            cpu.parallel(input.count, grain: 8192) { range in
                let start = range.lowerBound
                gdn_activation_backward(
                    dx.floats + start, upstream.floats + start, input.floats + start, code, range.count)
            }
            return [dx]
        }[0]
    }
}
