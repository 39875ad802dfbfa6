/// Row normalisations as written. Input x [rows, K].
struct KeyNormalisationReference: OperationReference {
    var kind: KeyNormalisation
    var eps: Double

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let x = inputs[0]
        return [ReferenceArray(x.shape, rows(x).flatMap { normalised($0) })]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let dx = zip(rows(inputs[0]), rows(upstream[0])).flatMap { x, dy -> [S] in
            let y = normalised(x)
            let dot = zip(y, dy).reduce(S(0)) { $0 + $1.0 * $1.1 }
            switch kind {
            case .none: return dy
            case .softmax: return zip(y, dy).map { $0 * ($1 - dot) }
            case .l1:
                // y = x / s, ds/dx = sign(x)
                let s = sumOfMagnitudes(x)
                return zip(x, dy).map { x, dy in (dy - (x > 0 ? dot : x < 0 ? -dot : 0)) / s }
            case .l2:
                // y = x / s, ds/dx = x / s = y
                let s = length(x)
                return zip(y, dy).map { ($1 - $0 * dot) / s }
            }
        }
        return [ReferenceArray(inputs[0].shape, dx)]
    }

    private func normalised<S: ReferenceScalar>(_ x: [S]) -> [S] {
        switch kind {
        case .none: return x
        case .l1:
            let sum = sumOfMagnitudes(x)
            return x.map { $0 / sum }
        case .l2:
            let length = length(x)
            return x.map { $0 / length }
        case .softmax:
            let top = x.reduce(-S.infinity, max)
            let powers = x.map { S.exponential($0 - top) }
            let sum = powers.reduce(0, +)
            return powers.map { $0 / sum }
        }
    }

    private func length<S: ReferenceScalar>(_ x: [S]) -> S {
        (x.reduce(0) { $0 + $1 * $1 } + S(eps)).squareRoot()
    }

    private func sumOfMagnitudes<S: ReferenceScalar>(_ x: [S]) -> S {
        x.reduce(0) { $0 + abs($1) } + S(eps)
    }

    private func rows<S: ReferenceScalar>(_ x: ReferenceArray<S>) -> [[S]] {
        let width = x.shape[x.shape.count - 1]
        return stride(from: 0, to: x.values.count, by: width).map { Array(x.values[$0..<$0 + width]) }
    }
}
