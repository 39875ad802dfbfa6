import GDNAutograd
import GDNCPUBackend
import GDNTensor

extension Tape {
    /// y = x Wᵀ in float32; W may be bfloat16. Nothing is recorded.
    func linearCPU(_ cpu: CPUBackend, _ x: Tensor, _ weight: Tensor) -> Tensor {
        let (outputs, width) = (weight.shape[0], weight.shape[1])
        let y = cpu.empty(Shape(x.shape.dims.dropLast() + [outputs]))
        let rows = x.shape.rows
        if weight.dtype == .bfloat16 {
            cpu.matmul(
                y.floats, ldy: outputs, x.floats, ldx: width, bfloat16Weight: weight.bfloat16Bits, ldw: width, m: rows,
                n: outputs, k: width)
        } else {
            cpu.matmul(
                y.floats, ldc: outputs, x.floats, lda: width, weight.floats, ldb: width, transposeB: true, m: rows,
                n: outputs, k: width)
        }
        return y
    }

    /// Saves x and the weights by reference.
    ///
    ///     dx = Σ_i dy_i W_i        dW_i = dy_iᵀ x
    func linearCPU(_ cpu: CPUBackend, _ x: Variable, _ weights: [Variable]) -> [Variable] {
        let input = x.value
        let values = weights.map(\.value)
        let results = values.map { linearCPU(cpu, input, $0) }
        let (rows, width) = (input.shape.rows, input.shape[-1])
        let backend = backend
        return record([x] + weights, results) { upstream in
            var gradients: [Tensor?] = Array(repeating: nil, count: upstream.count + 1)
            for (index, dy) in upstream.enumerated() {
                guard let dy else { continue }
                let weight = weights[index]
                let outputs = weight.shape[0]
                if x.requiresGradient {
                    let dx = gradients[0] ?? cpu.empty(input.shape)
                    cpu.matmul(
                        dx.floats, ldc: width, dy.floats, lda: outputs, values[index].floats, ldb: width, m: rows,
                        n: width, k: outputs, beta: gradients[0] == nil ? 0 : 1)
                    gradients[0] = dx
                }
                func addWeightGradient(to buffer: Tensor, overwrite: Bool) {
                    cpu.matmul(
                        buffer.floats, ldc: width, dy.floats, lda: outputs, transposeA: true, input.floats,
                        ldb: width, m: outputs, n: width, k: rows, beta: overwrite ? 0 : 1)
                }
                if let parameter = weight as? Parameter {
                    try parameter.accumulate(on: backend, addWeightGradient)
                } else if weight.requiresGradient {
                    let dw = cpu.empty(weight.shape)
                    addWeightGradient(to: dw, overwrite: true)
                    gradients[index + 1] = dw
                }
            }
            return gradients
        }
    }
}
