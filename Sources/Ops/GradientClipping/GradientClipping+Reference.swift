/// `norm = √Σ g²` over all inputs and `coefficient = min(1, maximum / (norm + 1e-6))`, both [1].
struct GradientClippingReference: OperationReference {
    var maximum: Double

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        var sum: S = 0
        for input in inputs { for x in input.values { sum += x * x } }
        let norm = sum.squareRoot()
        return [ReferenceArray([1], [norm]), ReferenceArray([1], [min(1, S(maximum) / (norm + S(1e-6)))])]
    }

    /// None: clipping is not differentiated.
    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        inputs.map { _ in nil }
    }
}
