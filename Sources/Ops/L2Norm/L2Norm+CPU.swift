import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves x (softmax: y) by reference and one float a row.
    func normaliseRowsCPU(_ cpu: CPUBackend, _ x: Variable, kind: KeyNormalisation, eps: Float) -> Variable {
        let code = kind.kernelCode
        let input = x.value
        let width = x.shape[-1]
        let rows = x.shape.rows
        let grain = max(1, 16_384 / max(1, width))
        let output = cpu.empty(x.shape)
        let factor = cpu.empty([rows])
        cpu.parallel(rows, grain: grain) { range in
            let start = range.lowerBound * width
            gdn_normalise_rows_forward(
                output.floats + start, factor.floats + range.lowerBound, input.floats + start, code, eps, range.count,
                width)
        }
        let saved = kind == .softmax ? output : input
        return record([x], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            let dx = cpu.empty(saved.shape)
            cpu.parallel(rows, grain: grain) { range in
                let start = range.lowerBound * width
                gdn_normalise_rows_backward(
                    dx.floats + start, upstream.floats + start, saved.floats + start,
                    factor.floats + range.lowerBound, code, range.count, width)
            }
            return [dx]
        }[0]
    }
}

extension KeyNormalisation {
    /// The number the kernels know it by.
    fileprivate var kernelCode: Int32 {
        switch self {
        case .l2, .none: Int32(GDN_ROW_L2)
        case .l1: Int32(GDN_ROW_L1)
        case .softmax: Int32(GDN_ROW_SOFTMAX)
        }
    }
}
