/// The convolution as written, token by token.
///
/// Inputs x [B, T, C], weight [C, W], then as declared: bias [C], state [N, C, W − 1], boundaries [N + 1].
struct ShortConvolutionReference: OperationReference {
    var activation: Activation
    var hasBias = false
    var hasState = false
    var packed = false

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let problem = Problem(self, inputs)
        var y = ReferenceArray<S>(inputs[0].shape)
        var state = ReferenceArray<S>([problem.starts.count - 1, problem.channels, problem.width - 1])
        for n in 0..<problem.starts.count - 1 {
            let length = problem.starts[n + 1] - problem.starts[n]
            for c in 0..<problem.channels {
                for t in 0..<length {
                    y[problem.index(n, t, c)] = activation.value(problem.preActivation(n, t, c))
                }
                for j in 0..<problem.width - 1 { state[n, c, j] = problem.value(n, length - problem.width + 1 + j, c) }
            }
        }
        return [y, state]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let problem = Problem(self, inputs)
        let width = problem.width
        var dx = ReferenceArray<S>(inputs[0].shape)
        var dWeight = ReferenceArray<S>([problem.channels, width])
        var dBias = ReferenceArray<S>([problem.channels])
        var dState = ReferenceArray<S>([problem.starts.count - 1, problem.channels, width - 1])
        for n in 0..<problem.starts.count - 1 {
            let length = problem.starts[n + 1] - problem.starts[n]
            for c in 0..<problem.channels {
                func add(_ amount: S, _ t: Int) {
                    if t >= 0 { dx[problem.index(n, t, c)] += amount } else { dState[n, c, t + width - 1] += amount }
                }
                for t in 0..<length {
                    let slope = activation.slope(problem.preActivation(n, t, c))
                    let dz = upstream[0][problem.index(n, t, c)] * slope
                    dBias[c] += dz
                    for w in 0..<width {
                        dWeight[c, w] += dz * problem.value(n, t - width + 1 + w, c)
                        add(dz * problem.weight[c * width + w], t - width + 1 + w)
                    }
                }
                for j in 0..<width - 1 { add(upstream[1][n, c, j], length - width + 1 + j) }
            }
        }
        return [dx, dWeight] + (hasBias ? [dBias] : []) + (hasState ? [dState] : []) + (packed ? [nil] : [])
    }

    /// The arguments by name.
    private struct Problem<S: ReferenceScalar> {
        let x: ReferenceArray<S>
        let weight: ReferenceArray<S>
        var bias: ReferenceArray<S>?
        var state: ReferenceArray<S>?
        let starts: [Int]
        let channels: Int
        let width: Int

        init(_ reference: ShortConvolutionReference, _ inputs: [ReferenceArray<S>]) {
            (x, weight) = (inputs[0], inputs[1])
            var rest = inputs.dropFirst(2)
            if reference.hasBias { bias = rest.popFirst() }
            if reference.hasState { state = rest.popFirst() }
            let (batch, time) = (x.shape[0], x.shape[1])
            starts = reference.packed ? rest[rest.startIndex].values.map { Int($0) } : (0...batch).map { $0 * time }
            channels = x.shape[2]
            width = weight.shape[weight.shape.count - 1]
        }

        /// Position in x of token t of sequence n.
        func index(_ n: Int, _ t: Int, _ c: Int) -> Int { (starts[n] + t) * channels + c }

        /// Input of sequence n at time t ≥ 1 − W.
        func value(_ n: Int, _ t: Int, _ c: Int) -> S {
            t >= 0 ? x[index(n, t, c)] : state.map { $0[n, c, t + width - 1] } ?? 0
        }

        /// z = bias + Σ_w weight_w x_{t−W+1+w}
        func preActivation(_ n: Int, _ t: Int, _ c: Int) -> S {
            (0..<width).reduce(bias.map { $0[c] } ?? 0) { sum, w in
                sum + weight[c * width + w] * value(n, t - width + 1 + w, c)
            }
        }
    }
}

/// Convolutions of q, k and v; heads of q and k are then scaled to length 1.
///
/// Inputs: of each its x, weight and, as declared, state; then boundaries.
struct ShortConvolutionsReference: OperationReference {
    var headDim: Int
    var eps: Double
    var convolution: ShortConvolutionReference

    private var norm: KeyNormalisationReference { KeyNormalisationReference(kind: .l2, eps: eps) }

    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        (0..<3).flatMap { part in
            var outputs = convolution.forward(own(inputs, part))
            if part < 2 { outputs[0] = reshaped(norm.forward([heads(outputs[0])])[0], outputs[0].shape) }
            return outputs
        }
    }

    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let perPart = own(inputs, 0).count - (convolution.packed ? 1 : 0)
        let gradients = (0..<3).flatMap { part -> [ReferenceArray<S>?] in
            let inputs = own(inputs, part)
            var upstream = Array(upstream[2 * part..<2 * part + 2])
            if part < 2, let dx = norm.gradients([heads(convolution.forward(inputs)[0])], [heads(upstream[0])])[0] {
                upstream[0] = reshaped(dx, upstream[0].shape)
            }
            return Array(convolution.gradients(inputs, upstream).prefix(perPart))
        }
        return gradients + (convolution.packed ? [nil] : [])
    }

    private func own<S>(_ inputs: [ReferenceArray<S>], _ part: Int) -> [ReferenceArray<S>] {
        let perPart = convolution.hasState ? 3 : 2
        return Array(inputs[part * perPart..<(part + 1) * perPart] + inputs[(3 * perPart)...])
    }
    private func heads<S>(_ x: ReferenceArray<S>) -> ReferenceArray<S> {
        reshaped(x, [x.values.count / headDim, headDim])
    }
    private func reshaped<S>(_ x: ReferenceArray<S>, _ shape: [Int]) -> ReferenceArray<S> {
        ReferenceArray(shape, x.values)
    }
}
