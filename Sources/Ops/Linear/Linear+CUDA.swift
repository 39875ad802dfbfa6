import GDNAutograd
import GDNCUDABackend
import GDNTensor

extension Tape {
    /// Saves x and the weights by reference. Products take the dtype of x: other weights are converted for the call, and
    /// again in the backward. Weight gradients are float32.
    ///
    ///     dx = Σ_i dy_i W_i        dW_i = dy_iᵀ x
    func linearCUDA(_ cuda: CUDABackend, _ x: Variable, _ weights: [Variable]) throws -> [Variable] {
        let input = x.value
        let values = weights.map(\.value)
        let (rows, width) = (input.shape.rows, input.shape[-1])
        let results = try values.map { value in
            let outputs = value.shape[0]
            let y = try cuda.empty(Shape(input.shape.dims.dropLast() + [outputs]), input.dtype)
            try cuda.matmul(
                y, input, cuda.convert(value, to: input.dtype), transposeB: true, m: rows, n: outputs, k: width)
            return y
        }
        let backend = backend
        return record([x] + weights, results) { upstream in
            var gradients: [Tensor?] = Array(repeating: nil, count: upstream.count + 1)
            for (index, dy) in upstream.enumerated() {
                guard let dy else { continue }
                let weight = weights[index]
                let outputs = weight.shape[0]
                if x.requiresGradient {
                    let dx = try gradients[0] ?? cuda.empty(input.shape, input.dtype)
                    try cuda.matmul(
                        dx, dy, cuda.convert(values[index], to: input.dtype), m: rows, n: width, k: outputs,
                        beta: gradients[0] == nil ? 0 : 1)
                    gradients[0] = dx
                }
                func addWeightGradient(to buffer: Tensor, overwrite: Bool) throws {
                    try cuda.matmul(
                        buffer, dy, transposeA: true, input, m: outputs, n: width, k: rows, beta: overwrite ? 0 : 1)
                }
                if let parameter = weight as? Parameter {
                    try parameter.accumulate(on: backend, addWeightGradient)
                } else if weight.requiresGradient {
                    let dw = try cuda.empty(weight.shape)
                    try addWeightGradient(to: dw, overwrite: true)
                    gradients[index + 1] = dw
                }
            }
            return gradients
        }
    }
}
