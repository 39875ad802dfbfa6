import GDNAutograd
import GDNCUDABackend
import GDNTensor

extension Tape {
    /// Saves x, or what x can be computed again from. Products take the dtype of x; parameters keep a bfloat16 copy for
    /// that. Weight gradients are float32.
    ///
    ///     dx = Σ_i dy_i W_i        dW_i = dy_iᵀ x
    ///
    /// In bfloat16 several weights are one matrix: x and dx pass the memory once, and rows of a few elements (gates), too
    /// short for the matrix units' loads, lie beside others. Parameters of a stack are such a matrix; others are copied.
    func linearCUDA(_ cuda: CUDABackend, _ x: Variable, _ weights: [Variable]) throws -> [Columns] {
        let form = LinearCUDA(cuda: cuda, backend: backend, weights: weights, dtype: x.value.dtype, shape: x.shape)
        let (wantsInput, recomputed) = (x.requiresGradient, x.recomputed)
        let kept = recomputed == nil ? x.value : nil
        let input: () throws -> Tensor? = { try kept ?? recomputed?() }
        if weights.count > 1, x.value.dtype == .bfloat16, x.shape.rows > 4, x.shape[-1] % 8 == 0 {
            let common = CommonProduct(form)
            return record([x] + weights, rows: try common.forward(x.value), common.layout, on: cuda) { upstream in
                guard let input = try input() else { return [] }
                return try common.backward(input, upstream, wantsInput: wantsInput)
            }
        }
        let results = record([x] + weights, try form.forward(x.value)) { upstream in
            guard let input = try input() else { return [] }
            return try form.backward(input, upstream, wantsInput: wantsInput)
        }
        return results.map { Columns($0) }
    }
}

/// Linear maps of one input on a GPU, a product each.
private struct LinearCUDA {
    let cuda: CUDABackend
    let backend: Backend
    let weights: [Variable]
    let dtype: DType
    /// Shape of the input.
    let shape: Shape

    var rows: Int { shape.rows }
    var width: Int { shape[-1] }

    func forward(_ input: Tensor) throws -> [Tensor] {
        try weights.map { weight in
            let outputs = weight.shape[0]
            let result = try cuda.empty(Shape(shape.dims.dropLast() + [outputs]), dtype)
            try cuda.matmul(
                result, input, weight.operand(cuda, dtype), transposeB: true, m: rows, n: outputs, k: width)
            return result
        }
    }

    func backward(_ input: Tensor, _ upstream: [Tensor?], wantsInput: Bool) throws -> [Tensor?] {
        var gradients: [Tensor?] = Array(repeating: nil, count: upstream.count + 1)
        for (index, dy) in upstream.enumerated() {
            guard let dy else { continue }
            let outputs = weights[index].shape[0]
            if wantsInput {
                let dx = try gradients[0] ?? cuda.empty(shape, dtype)
                try cuda.matmul(
                    dx, dy, weights[index].operand(cuda, dtype), m: rows, n: width, k: outputs,
                    beta: gradients[0] == nil ? 0 : 1)
                gradients[0] = dx
            }
            gradients[index + 1] = try weightGradient(index) { buffer, overwrite in
                try cuda.matmul(
                    buffer, dy, transposeA: true, input, m: outputs, n: width, k: rows, beta: overwrite ? 0 : 1)
            }
        }
        return gradients
    }

    /// Adds to a parameter's own buffer, or makes a new gradient for other weights.
    func weightGradient(_ index: Int, _ write: (Tensor, Bool) throws -> Void) throws -> Tensor? {
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

/// The same as one product with all weights below each other, in bfloat16.
private struct CommonProduct {
    let maps: LinearCUDA
    let layout: ColumnLayout
    /// Where the weights lie below each other already.
    private let stack: ParameterStack?

    private var cuda: CUDABackend { maps.cuda }
    private var parameters: [Parameter] { maps.weights.compactMap { $0 as? Parameter } }

    init(_ maps: LinearCUDA) {
        self.maps = maps
        layout = ColumnLayout(widths: maps.weights.map { $0.shape[0] })
        let places = maps.weights.map { weight in
            weight.value.dtype == .float32 ? (weight as? Parameter)?.stack : nil
        }
        let memory = places[0]?.memory
        let isWhole = memory?.layout.widths.count == places.count
        stack = isWhole && places.enumerated().allSatisfy { $1?.memory === memory && $1?.index == $0 } ? memory : nil
    }

    func forward(_ input: Tensor) throws -> Tensor {
        let results = try cuda.empty(Shape(maps.shape.dims.dropLast() + [layout.pitch]), .bfloat16)
        try cuda.matmul(
            results, input, matrix(), transposeB: true, m: maps.rows, n: layout.count, k: maps.width,
            ldc: layout.pitch)
        return results
    }

    /// - Parameter upstream: [rows, pitch], zeros in the columns below `layout.count` that belong to no weight
    func backward(_ input: Tensor, _ upstream: Tensor, wantsInput: Bool) throws -> [Tensor?] {
        var dx: Tensor?
        if wantsInput {
            let to = try cuda.empty(maps.shape, .bfloat16)
            try cuda.matmul(
                to, upstream, matrix(), m: maps.rows, n: maps.width, k: layout.count, lda: layout.pitch)
            dx = to
        }
        func addWeightGradients(to buffer: Tensor, beta: Float) throws {
            try cuda.matmul(
                buffer, upstream, transposeA: true, input, m: layout.count, n: maps.width, k: maps.rows, beta: beta,
                lda: layout.pitch)
        }
        let gathered = Set(parameters.map(\.hasGradient))
        if let stack, let adds = gathered.first, gathered.count == 1 {
            try addWeightGradients(to: stack.gradients(on: cuda), beta: adds ? 1 : 0)
            // The product has written to all buffers.
            for parameter in parameters { try parameter.accumulate(on: maps.backend) { _, _ in } }
            return [dx] + maps.weights.map { _ in nil }
        }
        let together = try cuda.empty([layout.count, maps.width])
        try addWeightGradients(to: together, beta: 0)
        return try [dx]
            + maps.weights.indices.map { index in
                let part = layout.rows(together, index)
                return try maps.weightGradient(index) { buffer, overwrite in
                    try overwrite ? cuda.copy(part, into: buffer) : cuda.add(into: buffer, part)
                }
            }
    }

    /// All weights, rows of zeros between them.
    private func matrix() throws -> Tensor {
        if let stack {
            for parameter in parameters { _ = try parameter.bfloat16Copy(on: cuda) }
            return try stack.halves(on: cuda)
        }
        let together = try cuda.zeros([layout.count, maps.width], .bfloat16)
        for (index, weight) in maps.weights.enumerated() {
            try cuda.copy(weight.operand(cuda, .bfloat16), into: layout.rows(together, index))
        }
        return together
    }
}
