/// An activation as written.
struct ActivationReference: OperationReference {
    var activation: Activation

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        [ReferenceArray(inputs[0].shape, inputs[0].values.map(activation.value))]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let dx = zip(upstream[0].values, inputs[0].values).map { $0 * activation.slope($1) }
        return [ReferenceArray(inputs[0].shape, dx)]
    }
}

extension Activation {
    /// The function.
    func value<S: ReferenceScalar>(_ x: S) -> S {
        switch self {
        case .none: x
        case .silu: x * S.sigmoid(x)
        case .relu: max(x, 0)
        case .onePlusELU: x > 0 ? 1 + x : S.exponential(x)
        }
    }

    /// Its derivative.
    func slope<S: ReferenceScalar>(_ x: S) -> S {
        switch self {
        case .none: 1
        case .silu: S.sigmoid(x) * (1 + x * (1 - S.sigmoid(x)))
        case .relu: x > 0 ? 1 : 0
        case .onePlusELU: x > 0 ? 1 : S.exponential(x)
        }
    }
}
