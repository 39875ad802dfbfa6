import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

/// The float32 form: saves x and the gate by reference and one float a row and group.
struct GatedRMSNormCPU {
    var cpu: CPUBackend
    var eps: Float
    var sigmoid: Int32
    var gateFirst: Int32
    var groups: Int

    func record(on tape: Tape, _ x: Variable, gate: Variable, weight: Variable) -> Variable {
        let (input, gateValue, scale) = (x.value, gate.value, weight.value)
        let width = x.shape[-1]
        let output = cpu.empty(x.shape)
        let inverse = cpu.empty([x.shape.rows, groups])
        cpu.parallel(x.shape.rows, grain: max(1, 16_384 / max(1, width))) { range in
            let start = range.lowerBound * width
            gdn_gated_rms_norm_forward(
                output.floats + start, inverse.floats + range.lowerBound * groups, input.floats + start,
                gateValue.floats + start, scale.floats, sigmoid, gateFirst, eps, range.count, groups, width / groups)
        }
        return tape.record([x, gate, weight], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil, nil] }
            return backward(upstream, input, gateValue, inverse, scale)
        }[0]
    }

    private func backward(_ upstream: Tensor, _ input: Tensor, _ gate: Tensor, _ inverse: Tensor, _ scale: Tensor)
        -> [Tensor?]
    {
        let width = input.shape[-1]
        let (dx, dGate) = (cpu.empty(input.shape), cpu.empty(input.shape))
        let dWeight = cpu.sumOverRowBlocks(rows: input.shape.rows, shape: [width]) { range, partial in
            let start = range.lowerBound * width
            gdn_gated_rms_norm_backward(
                dx.floats + start, dGate.floats + start, partial, upstream.floats + start, input.floats + start,
                gate.floats + start, inverse.floats + range.lowerBound * groups, scale.floats, sigmoid, gateFirst,
                range.count, groups, width / groups)
        }
        return [dx, dGate, dWeight]
    }
}
