/// Norm and gate as written, in either order. Inputs x, gate [rows, V], w [V]; statistics over V / groups.
struct GatedRMSNormReference: OperationReference {
    var eps = 1e-6
    var activation = GateActivation.silu
    var order = GatedNormOrder.normThenGate
    var groups = 1

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let (x, gate, w) = (inputs[0], inputs[1], inputs[2])
        let open = gate.values.map { value($0) }
        let gated = ReferenceArray(x.shape, zip(x.values, open).map { $0 * $1 })
        switch order {
        case .normThenGate:
            let normed = norm(x, w)
            return [ReferenceArray(x.shape, zip(normed.values, open).map { $0 * $1 })]
        case .gateThenNorm:
            return [norm(gated, w)]
        }
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (x, gate, w, dy) = (inputs[0], inputs[1], inputs[2], upstream[0])
        let open = gate.values.map { value($0) }
        let slopes = gate.values.map { slope($0) }
        switch order {
        case .normThenGate:
            // y = n(x) a: dn = dy a, da = dy n
            let normed = norm(x, w)
            let (dx, dw) = normGradients(x, w, ReferenceArray(x.shape, zip(dy.values, open).map { $0 * $1 }))
            let dGate = zip(zip(dy.values, normed.values), slopes).map { $0.0 * $0.1 * $1 }
            return [dx, ReferenceArray(x.shape, dGate), dw]
        case .gateThenNorm:
            // y = n(u), u = x a: dx = du a, da = du x
            let gated = ReferenceArray(x.shape, zip(x.values, open).map { $0 * $1 })
            let (du, dw) = normGradients(gated, w, dy)
            let dx = zip(du.values, open).map { $0 * $1 }
            let dGate = zip(zip(du.values, x.values), slopes).map { $0.0 * $0.1 * $1 }
            return [ReferenceArray(x.shape, dx), ReferenceArray(x.shape, dGate), dw]
        }
    }

    private func value<S: ReferenceScalar>(_ z: S) -> S {
        activation == .silu ? z * S.sigmoid(z) : S.sigmoid(z)
    }

    private func slope<S: ReferenceScalar>(_ z: S) -> S {
        let s = S.sigmoid(z)
        return activation == .silu ? s * (1 + z * (1 - s)) : s * (1 - s)
    }

    private func norm<S: ReferenceScalar>(_ x: ReferenceArray<S>, _ w: ReferenceArray<S>) -> ReferenceArray<S> {
        var y = ReferenceArray<S>(x.shape)
        forEachGroup(x, w) { start, weightStart, width in
            let r = inverseRMS(x, start, width)
            for j in 0..<width { y[start + j] = x[start + j] * r * w[weightStart + j] }
        }
        return y
    }

    private func normGradients<S: ReferenceScalar>(
        _ x: ReferenceArray<S>, _ w: ReferenceArray<S>, _ dy: ReferenceArray<S>
    ) -> (ReferenceArray<S>, ReferenceArray<S>) {
        var dx = ReferenceArray<S>(x.shape)
        var dw = ReferenceArray<S>(w.shape)
        forEachGroup(x, w) { start, weightStart, width in
            let r = inverseRMS(x, start, width)
            var dot: S = 0
            for j in 0..<width {
                dot += dy[start + j] * w[weightStart + j] * x[start + j]
                dw[weightStart + j] += dy[start + j] * x[start + j] * r
            }
            // dr/dx_j = −r³ x_j / width
            for j in 0..<width {
                dx[start + j] = dy[start + j] * w[weightStart + j] * r - dot * r * r * r * x[start + j] / S(width)
            }
        }
        return (dx, dw)
    }

    private func forEachGroup<S: ReferenceScalar>(
        _ x: ReferenceArray<S>, _ w: ReferenceArray<S>, _ body: (Int, Int, Int) -> Void
    ) {
        let width = w.values.count / groups
        for start in stride(from: 0, to: x.values.count, by: width) {
            body(start, start % w.values.count, width)
        }
    }

    private func inverseRMS<S: ReferenceScalar>(_ x: ReferenceArray<S>, _ start: Int, _ width: Int) -> S {
        var sum: S = 0
        for j in 0..<width { sum += x[start + j] * x[start + j] }
        return 1 / (sum / S(width) + S(eps)).squareRoot()
    }
}
