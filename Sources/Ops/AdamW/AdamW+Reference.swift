/// AdamW as written, several steps on one tensor. Inputs p, then one gradient a step, all of one shape.
struct AdamWReference: OperationReference {
    var learningRate: Double
    var gradientScale: Double
    var decays: Bool
    var configuration: AdamWConfiguration

    /// p, m and v after the last step.
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        var p = inputs[0]
        var (m, v) = (ReferenceArray<S>(p.shape), ReferenceArray<S>(p.shape))
        let (beta1, beta2) = (S(configuration.beta1), S(configuration.beta2))
        let decay = decays ? configuration.weightDecay : 0
        var (power1, power2): (S, S) = (1, 1)
        for gradient in inputs.dropFirst() {
            power1 *= beta1
            power2 *= beta2
            for i in p.values.indices {
                let g = gradient[i] * S(gradientScale)
                m[i] = beta1 * m[i] + (1 - beta1) * g
                v[i] = beta2 * v[i] + (1 - beta2) * g * g
                let (mean, square) = (m[i] / (1 - power1), v[i] / (1 - power2))
                p[i] -= S(learningRate * decay) * p[i]
                p[i] -= S(learningRate) * mean / (square.squareRoot() + S(configuration.eps))
            }
        }
        return [p, m, v]
    }

    /// None: an optimiser's step is not differentiated.
    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        inputs.map { _ in nil }
    }
}
