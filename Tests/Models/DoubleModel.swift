import GDNModels
import GDNTensor

/// The whole model in Double, one token at a time, straight from the equations: the oracle of the model's tests.
///
/// Written apart from the operations' own references, so that a misreading in one shows against the other.
struct DoubleModel {
    let configuration: ModelConfiguration
    let weights: [String: [Double]]

    init(_ model: LanguageModel) {
        configuration = model.configuration
        weights = Dictionary(
            uniqueKeysWithValues: model.parameters.map { ($0.name, $0.value.floatArray().map(Double.init)) })
    }

    /// Logits after each token, from an empty state.
    func logits(_ tokens: [Int32]) -> [[Double]] {
        let width = configuration.hiddenSize
        var memories = [[[Double]]](
            repeating: [[Double]](
                repeating: [Double](repeating: 0, count: configuration.headDim * configuration.valueDim),
                count: configuration.resolvedValueHeads), count: configuration.layers)
        var histories = [String: [[Double]]]()
        return tokens.map { token in
            var x = Array(weight("model.embeddings.weight")[Int(token) * width..<(Int(token) + 1) * width])
            for layer in 0..<configuration.layers {
                let prefix = "model.layers.\(layer)"
                let mixed = mix(
                    rmsNorm(x, weight("\(prefix).attn_norm.weight")), "\(prefix).attn", &memories[layer], &histories)
                x = zip(x, mixed).map(+)
                let normed = rmsNorm(x, weight("\(prefix).mlp_norm.weight"))
                let gate = product(normed, "\(prefix).mlp.gate_proj.weight")
                let up = product(normed, "\(prefix).mlp.up_proj.weight")
                let down = product(zip(gate, up).map { silu($0) * $1 }, "\(prefix).mlp.down_proj.weight")
                x = zip(x, down).map(+)
            }
            let last = rmsNorm(x, weight("model.norm.weight"))
            return product(last, configuration.tieWordEmbeddings ? "model.embeddings.weight" : "lm_head.weight")
        }
    }

    private func mix(
        _ x: [Double], _ prefix: String, _ memory: inout [[Double]], _ histories: inout [String: [[Double]]]
    ) -> [Double] {
        let (keyDim, valueDim) = (configuration.headDim, configuration.valueDim)
        func convolved(_ name: String, _ activation: (Double) -> Double) -> [Double] {
            let input = product(x, "\(prefix).\(name)_proj.weight")
            guard configuration.useShortConvolution else { return input.map(activation) }
            let taps = configuration.convolutionSize
            let filter = weight("\(prefix).\(name)_conv1d.weight")
            let key = "\(prefix).\(name)"
            var history = histories[key] ?? Array(repeating: Array(repeating: 0, count: input.count), count: taps - 1)
            history.append(input)
            histories[key] = Array(history.suffix(taps - 1))
            return input.indices.map { channel in
                activation((0..<taps).reduce(0) { $0 + filter[channel * taps + $1] * history[$1][channel] })
            }
        }
        let q = convolved("q", keyActivation)
        let k = convolved("k", keyActivation)
        let v = convolved("v", silu)
        let decays = configuration.useDecay ? product(x, "\(prefix).a_proj.weight") : []
        let strengths = configuration.useBeta ? product(x, "\(prefix).b_proj.weight") : []
        let gate = configuration.useGate ? product(x, "\(prefix).g_proj.weight") : []
        var outputs = [Double]()
        let group = configuration.resolvedValueHeads / configuration.heads
        for head in 0..<configuration.resolvedValueHeads {
            let keys = head / group * keyDim..<(head / group + 1) * keyDim
            let key = normalised(Array(k[keys]))
            let query = normalised(Array(q[keys])).map { $0 / Double(keyDim).squareRoot() }
            var decay = 1.0
            if configuration.useDecay {
                let shifted = decays[head] + weight("\(prefix).dt_bias")[head]
                decay = exp(-exp(weight("\(prefix).A_log")[head]) * log1p(exp(shifted)))
            }
            let most = configuration.allowNegativeEigenvalues ? 2.0 : 1.0
            let beta = configuration.useBeta ? most / (1 + exp(-strengths[head])) : 1
            for i in memory[head].indices { memory[head][i] *= decay }
            var output = [Double](repeating: 0, count: valueDim)
            for column in 0..<valueDim {
                var read = 0.0
                if configuration.useDeltaRule {
                    for row in 0..<keyDim { read += memory[head][row * valueDim + column] * key[row] }
                }
                let update = beta * (v[head * valueDim + column] - read)
                for row in 0..<keyDim {
                    memory[head][row * valueDim + column] += key[row] * update
                    output[column] += memory[head][row * valueDim + column] * query[row]
                }
            }
            if configuration.useOutputNorm { output = rmsNorm(output, weight("\(prefix).o_norm.weight")) }
            if configuration.useGate {
                for column in 0..<valueDim { output[column] *= silu(gate[head * valueDim + column]) }
            }
            outputs += output
        }
        return product(outputs, "\(prefix).o_proj.weight")
    }

    private func normalised(_ x: [Double]) -> [Double] {
        switch configuration.keyNormalisation {
        case .l2:
            let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
            return x.map { $0 * scale }
        case .l1:
            let scale = 1 / (x.reduce(0) { $0 + abs($1) } + 1e-6)
            return x.map { $0 * scale }
        case .softmax:
            let sum = x.reduce(0) { $0 + exp($1) }
            return x.map { exp($0) / sum }
        case .none: return x
        }
    }

    private func keyActivation(_ x: Double) -> Double {
        switch configuration.keyActivation {
        case .silu: silu(x)
        case .relu: max(x, 0)
        case .elu: x > 0 ? 1 + x : exp(x)
        }
    }

    private func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }

    private func rmsNorm(_ x: [Double], _ w: [Double]) -> [Double] {
        let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + configuration.normEps).squareRoot()
        return zip(x, w).map { $0 * scale * $1 }
    }

    private func product(_ x: [Double], _ name: String) -> [Double] {
        let w = weight(name)
        return (0..<w.count / x.count).map { row in
            x.indices.reduce(0) { $0 + w[row * x.count + $1] * x[$1] }
        }
    }

    private func weight(_ name: String) -> [Double] { weights[name] ?? [] }
}
