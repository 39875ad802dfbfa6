import GDNAutograd
import GDNCUDABackend
import GDNTensor

extension Tape {
    /// Saves x, or what x can be computed again from. Products take the dtype of x; parameters keep a bfloat16 copy for
    /// that. Weight gradients are float32. Narrow weights (gates: a few rows each) share one product: rows of a few
    /// elements are too short for the matrix units' loads.
    ///
    ///     dx = Σ_i dy_i W_i        dW_i = dy_iᵀ x
    func linearCUDA(_ cuda: CUDABackend, _ x: Variable, _ weights: [Variable]) throws -> [Variable] {
        let form = LinearCUDA(cuda: cuda, backend: backend, weights: weights, dtype: x.value.dtype, shape: x.shape)
        let results = try form.forward(x.value)
        let (wantsInput, recomputed) = (x.requiresGradient, x.recomputed)
        let kept = recomputed == nil ? x.value : nil
        return record([x] + weights, results) { upstream in
            guard let input = try kept ?? recomputed?() else { return [] }
            return try form.backward(input, upstream, wantsInput: wantsInput)
        }
    }
}

/// Linear maps of one input on a GPU.
private struct LinearCUDA {
    let cuda: CUDABackend
    let backend: Backend
    let weights: [Variable]
    let dtype: DType
    /// Shape of the input.
    let shape: Shape

    private static let narrowLimit = 64
    private var rows: Int { shape.rows }
    private var width: Int { shape[-1] }

    /// Positions of the weights that share one product, and the rows of their common matrix.
    private var narrow: (indices: [Int], padded: Int) {
        guard dtype == .bfloat16, width % 8 == 0, rows > 4 else { return ([], 0) }
        let indices = weights.indices.filter { weights[$0].shape[0] < Self.narrowLimit }
        return (indices, (indices.reduce(0) { $0 + weights[$1].shape[0] } + 15) / 16 * 16)
    }

    func forward(_ input: Tensor) throws -> [Tensor] {
        let (narrow, padded) = narrow
        let results = try weights.indices.map { index in
            try cuda.empty(Shape(shape.dims.dropLast() + [weights[index].shape[0]]), dtype)
        }
        for index in weights.indices where !narrow.contains(index) {
            try cuda.matmul(
                results[index], input, weights[index].operand(cuda, dtype), transposeB: true, m: rows,
                n: weights[index].shape[0], k: width)
        }
        guard !narrow.isEmpty else { return results }
        let together = try cuda.empty([rows, padded], dtype)
        try cuda.matmul(together, input, packedWeights(), transposeB: true, m: rows, n: padded, k: width)
        var column = 0
        for index in narrow {
            let outputs = weights[index].shape[0]
            try cuda.copyColumns(together, from: column, into: results[index], at: 0, count: outputs)
            column += outputs
        }
        return results
    }

    func backward(_ input: Tensor, _ upstream: [Tensor?], wantsInput: Bool) throws -> [Tensor?] {
        let (narrow, padded) = narrow
        var gradients: [Tensor?] = Array(repeating: nil, count: upstream.count + 1)
        var dx: Tensor?
        func addInputGradient(_ dy: Tensor, _ weight: Tensor, outputs: Int) throws {
            guard wantsInput else { return }
            let to = try dx ?? cuda.empty(shape, dtype)
            try cuda.matmul(to, dy, weight, m: rows, n: width, k: outputs, beta: dx == nil ? 0 : 1)
            dx = to
        }
        for (index, dy) in upstream.enumerated() where !narrow.contains(index) {
            guard let dy else { continue }
            let outputs = weights[index].shape[0]
            try addInputGradient(dy, weights[index].operand(cuda, dtype), outputs: outputs)
            gradients[index + 1] = try weightGradient(index) { buffer, overwrite in
                try cuda.matmul(
                    buffer, dy, transposeA: true, input, m: outputs, n: width, k: rows, beta: overwrite ? 0 : 1)
            }
        }
        if narrow.contains(where: { upstream[$0] != nil }) {
            let together = try cuda.zeros([rows, padded], dtype)
            var column = 0
            for index in narrow {
                let outputs = weights[index].shape[0]
                if let dy = upstream[index] {
                    try cuda.copyColumns(dy, from: 0, into: together, at: column, count: outputs)
                }
                column += outputs
            }
            try addInputGradient(together, packedWeights(), outputs: padded)
            let dWeights = try cuda.empty([padded, width])
            try cuda.matmul(dWeights, together, transposeA: true, input, m: padded, n: width, k: rows)
            column = 0
            for index in narrow {
                let outputs = weights[index].shape[0]
                let part = dWeights.slice(column..<column + outputs)
                column += outputs
                if upstream[index] == nil { continue }
                gradients[index + 1] = try weightGradient(index) { buffer, overwrite in
                    try overwrite ? cuda.copy(part, into: buffer) : cuda.add(into: buffer, part)
                }
            }
        }
        gradients[0] = dx
        return gradients
    }

    /// The narrow weights one below the other, rows of zeros below them.
    private func packedWeights() throws -> Tensor {
        let (narrow, padded) = narrow
        let together = try cuda.zeros([padded, width], dtype)
        var row = 0
        for index in narrow {
            let outputs = weights[index].shape[0]
            try cuda.copy(weights[index].operand(cuda, dtype), into: together.slice(row..<row + outputs))
            row += outputs
        }
        return together
    }

    /// Adds to a parameter's own buffer, or makes a new gradient for other weights.
    private func weightGradient(_ index: Int, _ write: (Tensor, Bool) throws -> Void) throws -> Tensor? {
        let weight = weights[index]
        if let parameter = weight as? Parameter {
            try parameter.accumulate(on: backend, write)
            return nil
        }
        guard weight.requiresGradient else { return nil }
        let gradient = try cuda.empty(weight.shape)
        try write(gradient, true)
        return gradient
    }
}
