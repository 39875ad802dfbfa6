import GDNAutograd
import GDNTensor

extension Tape {
    /// The step as the operations of the other rooms, on any device.
    func decodingStepByOperations(
        _ stream: Variable, _ weights: DecodingWeights<Variable>, _ state: DecodingState<Variable>,
        _ options: DecodingOptions
    ) throws -> (stream: Variable, state: DecodingState<Variable>) {
        let (batch, width) = (stream.shape[0], stream.shape[1])
        let dtype = weights.output.value.dtype
        // The stream stays float32; what goes into products takes the dtype of the matrices.
        let input = try inDType(rmsNorm(stream, weight: weights.norm, eps: options.eps), dtype)
        let normed = reshape(input, [batch, 1, width])
        let present = weights.projections.compactMap { $0 }
        var rest = try linear(normed, present)[...]
        let projected = weights.projections.map { $0 == nil ? nil : rest.popFirst() }

        var windows: [Variable] = []
        var mixed: [Variable] = []
        for (index, input) in projected.prefix(3).enumerated() {
            guard let input else { continue }
            let activation = index < 2 ? options.keyActivation : .silu
            guard options.taps > 0 else {
                mixed.append(try self.activation(input, activation))
                continue
            }
            let (output, window) = try shortConvolution(
                input, weight: weights.filters[index], activation: activation, initialState: state.windows[index])
            mixed.append(output)
            windows.append(window)
        }
        let keyShape: Shape = [batch, 1, options.heads, options.keyDim]
        let keys = try mixed.prefix(2).map {
            try normaliseKeys(reshape($0, keyShape), kind: options.keyNormalisation, eps: 1e-6)
        }
        let (logDecay, beta) = try decodingGates(projected[4], projected[5], weights.decay, options)
        let rule = try gatedDeltaRule(
            keys[0], keys[1], reshape(mixed[2], [batch, 1, options.valueHeads, options.valueDim]), logDecay: logDecay,
            beta: beta, initialState: state.memory, erases: options.erases)

        let heads = try decodingOutput(rule.output, projected[3], weights.outputNorm, options)
        let mixerOutput = try linear(reshape(heads, [batch, options.valueWidth]), weights.output)
        let (middle, mlpInput) = try addRMSNorm(
            inDType(mixerOutput, .float32), stream, weight: weights.mlpNorm, eps: options.eps)
        let hidden = try linear(inDType(mlpInput, dtype), [weights.gate, weights.up])
        let added = try inDType(linear(swiGLU(hidden[0], hidden[1]), weights.down), .float32)
        let sum = Variable(try backend.sum(middle.value, added.value))
        return (sum, DecodingState(windows: windows, memory: rule.finalState))
    }

    private func decodingGates(
        _ a: Variable?, _ b: Variable?, _ decay: (logRate: Variable, timeStepBias: Variable)?,
        _ options: DecodingOptions
    ) throws -> (Variable?, Variable?) {
        guard let input = a ?? b else { return (nil, nil) }
        let unused = try decay == nil ? Variable(backend.zeros([options.valueHeads])) : nil
        guard let rate = decay?.logRate ?? unused, let bias = decay?.timeStepBias ?? unused else { return (nil, nil) }
        let gates = try gates(
            a ?? input, b ?? input, aLog: rate, dtBias: bias,
            allowNegativeEigenvalues: options.allowsNegativeEigenvalues)
        return (a == nil ? nil : gates.logDecay, b == nil ? nil : gates.beta)
    }

    private func decodingOutput(_ o: Variable, _ gate: Variable?, _ norm: Variable?, _ options: DecodingOptions) throws
        -> Variable
    {
        switch (norm, gate) {
        case (let norm?, let gate?):
            try gatedRMSNorm(
                o, gate: reshape(gate, o.shape), weight: norm, eps: options.eps, activation: .silu, order: .normThenGate
            )
        case (let norm?, nil): try rmsNorm(o, weight: norm, eps: options.eps)
        case (nil, let gate?): try swiGLU(reshape(gate, o.shape), o)
        case (nil, nil): o
        }
    }

    private func inDType(_ x: Variable, _ dtype: DType) throws -> Variable {
        guard case .cuda(let cuda) = backend else { return x }
        return Variable(try cuda.convert(x.value, to: dtype))
    }
}
