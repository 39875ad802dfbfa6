import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves x and one float a row; the backward sums weight gradients over fixed blocks of rows, in order.
    func rmsNormCPU(_ cpu: CPUBackend, _ x: Variable, weight: Variable, eps: Float, offset: Float) -> Variable {
        let (input, scale) = (x.value, weight.value)
        let width = x.shape[-1]
        let rows = x.shape.rows
        let output = cpu.empty(x.shape)
        let inverse = cpu.empty([rows])
        cpu.parallel(rows, grain: 64) { range in
            let start = range.lowerBound * width
            gdn_rms_norm_forward(
                output.floats + start, inverse.floats + range.lowerBound, input.floats + start, scale.floats, offset,
                eps, range.count, width)
        }
        return record([x, weight], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil] }
            let dx = cpu.empty(input.shape)
            let dWeight = cpu.sumOverRowBlocks(rows: rows, shape: [width]) { range, partial in
                let start = range.lowerBound * width
                gdn_rms_norm_backward(
                    dx.floats + start, partial, upstream.floats + start, input.floats + start,
                    inverse.floats + range.lowerBound, scale.floats, offset, range.count, width)
            }
            return [dx, dWeight]
        }[0]
    }
}
