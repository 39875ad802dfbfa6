import GDNTensor

/// Draws tokens from logits. Order: repetition penalty, top-k, temperature, min-p, top-p.
public struct Sampler {
    private let options: SamplingOptions
    private var random: Random

    /// A sampler that starts from the options' seed.
    public init(_ options: SamplingOptions) throws {
        try options.validate()
        self.options = options
        random = Random(seed: options.seed)
    }

    /// The next token.
    /// - Parameters:
    ///   - logits: one number a token
    ///   - seen: tokens the repetition penalty applies to
    /// - Throws: `InferenceError` when no logit is a number.
    public mutating func sample(_ logits: [Float], seen: Set<Int32> = []) throws -> Int32 {
        let penalised = penalise(logits, seen)
        guard let best = penalised.indices.max(by: { penalised[$0] < penalised[$1] }), penalised[best].isFinite else {
            throw InferenceError("the model's logits are not finite: its weights are damaged")
        }
        if options.temperature == 0 { return Int32(best) }
        let kept = candidates(penalised)
        let total = kept.reduce(0.0) { $0 + $1.weight }
        var remaining = random.uniform() * total
        for candidate in kept {
            remaining -= candidate.weight
            if remaining < 0 { return Int32(candidate.token) }
        }
        return Int32(kept[kept.count - 1].token)
    }

    private struct Candidate {
        var token: Int
        var weight: Double
    }

    private func penalise(_ logits: [Float], _ seen: Set<Int32>) -> [Float] {
        guard options.repetitionPenalty != 1 else { return logits }
        var result = logits
        for token in seen where result.indices.contains(Int(token)) {
            let value = result[Int(token)]
            result[Int(token)] = value > 0 ? value / options.repetitionPenalty : value * options.repetitionPenalty
        }
        return result
    }

    /// Tokens that stay, most likely first, with weights relative to the most likely.
    private func candidates(_ logits: [Float]) -> [Candidate] {
        let filters = options.topK > 0 || options.topP < 1 || options.minP > 0
        var order = logits.indices.filter { logits[$0] > -.infinity }
        if filters { order.sort { (logits[$0], $1) > (logits[$1], $0) } }
        if options.topK > 0 { order = Array(order.prefix(options.topK)) }
        let top = Double(order.map { logits[$0] }.max() ?? 0)
        var kept = order.map { token in
            Candidate(token: token, weight: exp((Double(logits[token]) - top) / Double(options.temperature)))
        }
        if options.minP > 0 { kept.removeAll { $0.weight < Double(options.minP) } }
        if options.topP < 1 {
            let wanted = Double(options.topP) * kept.reduce(0) { $0 + $1.weight }
            var sum = 0.0
            let end = kept.firstIndex { candidate in
                sum += candidate.weight
                return sum >= wanted
            }
            kept = Array(kept.prefix((end ?? kept.count - 1) + 1))
        }
        return kept
    }
}
