/// `y = g σ(g) u`. Inputs g, u of one shape.
struct SwiGLUReference: OperationReference {
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        [ReferenceArray(inputs[0].shape, zip(inputs[0].values, inputs[1].values).map { $0 * S.sigmoid($0) * $1 })]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (g, u, dy) = (inputs[0], inputs[1], upstream[0])
        var dg = ReferenceArray<S>(g.shape)
        var du = ReferenceArray<S>(u.shape)
        for i in g.values.indices {
            let s = S.sigmoid(g[i])
            du[i] = dy[i] * g[i] * s
            dg[i] = dy[i] * u[i] * s * (1 + g[i] * (1 - s))
        }
        return [dg, du]
    }
}
