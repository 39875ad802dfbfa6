import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves x and one float a row.
    func rmsNormCPU(_ cpu: CPUBackend, _ x: Variable, weight: Variable, eps: Float, offset: Float) -> Variable {
        let (input, scale) = (x.value, weight.value)
        let width = x.shape[-1]
        let output = cpu.empty(x.shape)
        let inverse = cpu.empty([x.shape.rows])
        cpu.parallel(x.shape.rows, grain: 64) { range in
            let start = range.lowerBound * width
            gdn_rms_norm_forward(
                output.floats + start, inverse.floats + range.lowerBound, input.floats + start, scale.floats, offset,
                eps, range.count, width)
        }
        return record([x, weight], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let (dx, dWeight) = rmsNormBackward(
                cpu, upstream: upstream, sumUpstream: nil, input: input, inverse: inverse, scale: scale, offset: offset)
            return [dx, dWeight]
        }[0]
    }

    /// Saves the sum, which lives on as the residual stream, and one float a row.
    func addRMSNormCPU(
        _ cpu: CPUBackend, _ x: Variable, _ residual: Variable, weight: Variable, eps: Float, offset: Float
    ) -> [Variable] {
        let (input, stream, scale) = (x.value, residual.value, weight.value)
        let width = x.shape[-1]
        let sum = cpu.empty(x.shape)
        let output = cpu.empty(x.shape)
        let inverse = cpu.empty([x.shape.rows])
        cpu.parallel(x.shape.rows, grain: 64) { range in
            let start = range.lowerBound * width
            gdn_add_rms_norm_forward(
                sum.floats + start, output.floats + start, inverse.floats + range.lowerBound, input.floats + start,
                stream.floats + start, scale.floats, offset, eps, range.count, width)
        }
        return record([x, residual, weight], [sum, output]) { gradients in
            guard let upstream = gradients[1] else { return [gradients[0], gradients[0], nil] }
            let (dSum, dWeight) = rmsNormBackward(
                cpu, upstream: upstream, sumUpstream: gradients[0], input: sum, inverse: inverse, scale: scale,
                offset: offset)
            return [dSum, dSum, dWeight]
        }
    }
}

/// Gradients of the input (with what reaches the sum directly added) and of the weight.
private func rmsNormBackward(
    _ cpu: CPUBackend, upstream: Tensor, sumUpstream: Tensor?, input: Tensor, inverse: Tensor, scale: Tensor,
    offset: Float
) -> (Tensor, Tensor) {
    let width = input.shape[-1]
    let dx = cpu.empty(input.shape)
    let dWeight = cpu.sumOverRowBlocks(rows: input.shape.rows, shape: [width]) { range, partial in
        let start = range.lowerBound * width
        gdn_rms_norm_backward(
            dx.floats + start, partial, upstream.floats + start, sumUpstream.map { $0.floats + start },
            input.floats + start, inverse.floats + range.lowerBound, scale.floats, offset, range.count, width)
    }
    return (dx, dWeight)
}
