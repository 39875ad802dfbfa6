import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves its two inputs by reference; the backward computes the sigmoid again.
    func swiGLUCPU(_ cpu: CPUBackend, _ gate: Variable, _ up: Variable) -> Variable {
        let (gateValue, upValue) = (gate.value, up.value)
        let output = cpu.empty(gate.shape)
        cpu.parallel(output.count, grain: 8192) { range in
            let start = range.lowerBound
            gdn_swiglu_forward(
                output.floats + start, gateValue.floats + start, upValue.floats + start, range.count)
        }
        return record([gate, up], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let (dGate, dUp) = (cpu.empty(gateValue.shape), cpu.empty(gateValue.shape))
            cpu.parallel(upstream.count, grain: 8192) { range in
                let start = range.lowerBound
                gdn_swiglu_backward(
                    dGate.floats + start, dUp.floats + start, upstream.floats + start, gateValue.floats + start,
                    upValue.floats + start, range.count)
            }
            return [dGate, dUp]
        }[0]
    }
}
