/// RMS normalisation as written: `y = x / √(mean(x²) + eps) · (offset + w)`. Inputs x [rows, D], w [D].
struct RMSNormReference: OperationReference {
    var eps = 1e-6
    var offset = 0.0

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
