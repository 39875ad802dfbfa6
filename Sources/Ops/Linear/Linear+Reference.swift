/// `y_i[r, o] = Σ_d x[r, d] W_i[o, d]`. Inputs x [rows, D], then every W_i [outputs_i, D].
struct LinearReference: OperationReference {
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let x = inputs[0]
        return inputs.dropFirst().map { w in
            var y = ReferenceArray<S>([x.shape[0], w.shape[0]])
            for r in 0..<x.shape[0] {
                for o in 0..<w.shape[0] {
                    for d in 0..<x.shape[1] { y[r, o] += x[r, d] * w[o, d] }
                }
            }
            return y
        }
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let x = inputs[0]
        var dx = ReferenceArray<S>(x.shape)
        var dWeights = inputs.dropFirst().map { ReferenceArray<S>($0.shape) }
        for (index, dy) in upstream.enumerated() {
            let w = inputs[index + 1]
            for r in 0..<x.shape[0] {
                for o in 0..<w.shape[0] {
                    for d in 0..<x.shape[1] {
                        dx[r, d] += dy[r, o] * w[o, d]
                        dWeights[index][o, d] += dy[r, o] * x[r, d]
                    }
                }
            }
        }
        return [dx] + dWeights
    }
}

/// The same outputs twice, as of two uses of the weights.
struct TwiceLinearReference: OperationReference {
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let outputs = LinearReference().forward(inputs)
        return outputs + outputs
    }

    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let half = upstream.count / 2
        let sums = zip(upstream.prefix(half), upstream.suffix(half)).map { first, second in
            ReferenceArray(first.shape, zip(first.values, second.values).map { $0 + $1 })
        }
        return LinearReference().gradients(inputs, sums)
    }
}
