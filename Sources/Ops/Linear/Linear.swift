import GDNAutograd
import GDNTensor

extension Tape {
    /// Several linear maps of one input: `y_i = x W_iᵀ`, their results side by side where one product computes them all
    /// (bfloat16 on a GPU).
    ///
    /// One backward for all: the gradients of the input are summed inside the matrix products, and a parameter's
    /// gradient is added to its buffer by the product itself.
    /// - Parameters:
    ///   - x: [..., D]
    ///   - weights: W_i, [outputs_i, D], as checkpoints store them. bfloat16 weights with a float32 x are read as they
    ///     are when nothing is recorded for them (inference).
    /// - Returns: y_i, [..., outputs_i], in the dtype of x.
    /// - Throws: `ShapeError` when a weight is not [outputs, D].
    public func projections(_ x: Variable, _ weights: [Variable]) throws -> [Columns] {
        for weight in weights where weight.shape.rank != 2 || weight.shape[1] != x.shape[-1] {
            throw ShapeError("linear", "weight has shape \(weight.shape), expected [outputs, \(x.shape[-1])]")
        }
        switch backend {
        case .cpu(let cpu):
            let readsHalves = x.value.dtype == .float32 && !needsBackward([x] + weights)
            if readsHalves { return weights.map { Columns(Variable(linearCPU(cpu, x.value, $0.value))) } }
            return inFloat32(cpu, [x] + weights) { linearCPU(cpu, $0[0], Array($0.dropFirst())) }.map { Columns($0) }
        case .cuda(let cuda): return try linearCUDA(cuda, x, weights)
        }
    }

    /// Several linear maps of one input, as `projections`, each result in memory of its own.
    public func linear(_ x: Variable, _ weights: [Variable]) throws -> [Variable] {
        try projections(x, weights).map { try variable($0) }
    }

    /// A linear map: `y = x Wᵀ` with x [..., D] and W [outputs, D].
    ///
    /// - Throws: `ShapeError` when the weight is not [outputs, D].
    public func linear(_ x: Variable, _ weight: Variable) throws -> Variable {
        try linear(x, [weight])[0]
    }
}
