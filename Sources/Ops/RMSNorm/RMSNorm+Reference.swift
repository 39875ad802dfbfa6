/// RMS normalisation as written: `y = x / √(mean(x²) + eps) · (offset + w)`. Inputs x [rows, D], w [D].
struct RMSNormReference: OperationReference {
    var eps = 1e-6
    var offset = 0.0

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let (x, w) = (inputs[0], inputs[1])
        let width = w.values.count
        var y = ReferenceArray<S>(x.shape)
        for start in stride(from: 0, to: x.values.count, by: width) {
            let r = inverseRMS(x, start, width)
            for j in 0..<width { y[start + j] = x[start + j] * r * (S(offset) + w[j]) }
        }
        return [y]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (x, w, dy) = (inputs[0], inputs[1], upstream[0])
        let width = w.values.count
        var dx = ReferenceArray<S>(x.shape)
        var dw = ReferenceArray<S>(w.shape)
        for start in stride(from: 0, to: x.values.count, by: width) {
            let r = inverseRMS(x, start, width)
            var dot: S = 0
            for j in 0..<width {
                dot += dy[start + j] * (S(offset) + w[j]) * x[start + j]
                dw[j] += dy[start + j] * x[start + j] * r
            }
            // dr/dx_j = −r³ x_j / D
            for j in 0..<width {
                dx[start + j] = dy[start + j] * (S(offset) + w[j]) * r - dot * r * r * r * x[start + j] / S(width)
            }
        }
        return [dx, dw]
    }

    private func inverseRMS<S: ReferenceScalar>(_ x: ReferenceArray<S>, _ start: Int, _ width: Int) -> S {
        var sum: S = 0
        for j in 0..<width { sum += x[start + j] * x[start + j] }
        return 1 / (sum / S(width) + S(eps)).squareRoot()
    }
}

/// Residual addition and normalisation: `s = x + residual`, `y` as above. Inputs x, residual [rows, D], w [D].
struct AddRMSNormReference: OperationReference {
    var norm = RMSNormReference()

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let sum = total(inputs)
        return [sum] + norm.forward([sum, inputs[2]])
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let through = norm.gradients([total(inputs), inputs[2]], [upstream[1]])
        let dSum = through[0].map { dx in
            ReferenceArray(dx.shape, zip(dx.values, upstream[0].values).map { $0 + $1 })
        }
        return [dSum, dSum, through[1]]
    }

    private func total<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> ReferenceArray<S> {
        ReferenceArray(inputs[0].shape, zip(inputs[0].values, inputs[1].values).map { $0 + $1 })
    }
}
