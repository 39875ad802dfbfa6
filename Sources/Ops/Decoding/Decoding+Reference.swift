/// A step composed of the references of the rooms it is made of. Inputs as `DecodingArguments` orders them; outputs the
/// stream [B, D], the windows where there are convolutions, and the memory [B, HV, K, V].
struct DecodingReference: OperationReference {
    var options: DecodingOptions

    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let arguments = DecodingArguments(options, inputs)
        let (x, weights, state) = (arguments.stream, arguments.weights, arguments.state)
        let (batch, eps) = (x.shape[0], Double(options.eps))
        let normed = RMSNormReference(eps: eps).forward([x, weights.norm])[0]
        let projected = weights.projections.map { $0.map { LinearReference().forward([normed, $0])[0] } }

        var windows: [ReferenceArray<S>] = []
        var mixed: [ReferenceArray<S>] = []
        for (index, input) in projected.prefix(3).enumerated() {
            guard let input else { continue }
            let activation = index < 2 ? options.keyActivation : .silu
            if options.taps > 0 {
                let convolution = ShortConvolutionReference(activation: activation, hasState: true)
                let tokens = ReferenceArray([batch, 1, input.shape[1]], input.values)
                let results = convolution.forward([tokens, weights.filters[index], state.windows[index]])
                mixed.append(results[0])
                windows.append(results[1])
            } else {
                mixed.append(ActivationReference(activation: activation).forward([input])[0])
            }
        }
        let (keyRows, valueRows) = (
            [batch * options.heads, options.keyDim], [batch * options.valueHeads, options.valueDim]
        )
        let norm = KeyNormalisationReference(kind: options.keyNormalisation, eps: 1e-6)
        let keys = mixed.prefix(2).map { norm.forward([ReferenceArray(keyRows, $0.values)])[0] }
        let rule = GatedDeltaRuleReference(
            hasDecay: options.hasDecay, hasBeta: options.hasBeta, hasInitialState: true, erases: options.erases)
        let results = rule.forward(
            keys.map { ReferenceArray([batch, 1, options.heads, options.keyDim], $0.values) }
                + [ReferenceArray([batch, 1, options.valueHeads, options.valueDim], mixed[2].values)]
                + gates(projected, weights) + [state.memory])

        var heads = ReferenceArray(valueRows, results[0].values)
        let gate = projected[3].map { ReferenceArray(valueRows, $0.values) }
        switch (weights.outputNorm, gate) {
        case (let norm?, let gate?): heads = GatedRMSNormReference(eps: eps).forward([heads, gate, norm])[0]
        case (let norm?, nil): heads = RMSNormReference(eps: eps).forward([heads, norm])[0]
        case (nil, let gate?): heads = SwiGLUReference().forward([gate, heads])[0]
        case (nil, nil): break
        }
        var stream = x
        func add(_ y: ReferenceArray<S>) { for i in y.values.indices { stream[i] += y[i] } }
        add(LinearReference().forward([ReferenceArray([batch, options.valueWidth], heads.values), weights.output])[0])
        let mlpInput = RMSNormReference(eps: eps).forward([stream, weights.mlpNorm])[0]
        let hidden = SwiGLUReference().forward(LinearReference().forward([mlpInput, weights.gate, weights.up]))[0]
        add(LinearReference().forward([hidden, weights.down])[0])
        return [stream] + windows + [results[1]]
    }

    /// None: a step is not differentiated.
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        inputs.map { _ in nil }
    }

    private func gates<S: ReferenceScalar>(
        _ projected: [ReferenceArray<S>?], _ weights: DecodingWeights<ReferenceArray<S>>
    ) -> [ReferenceArray<S>] {
        guard let input = projected[4] ?? projected[5] else { return [] }
        let unused = ReferenceArray<S>([options.valueHeads])
        let gates = GatesReference(strength: options.allowsNegativeEigenvalues ? 2 : 1).forward([
            projected[4] ?? input, projected[5] ?? input, weights.decay?.logRate ?? unused,
            weights.decay?.timeStepBias ?? unused,
        ])
        return (options.hasDecay ? [gates[0]] : []) + (options.hasBeta ? [gates[1]] : [])
    }
}
