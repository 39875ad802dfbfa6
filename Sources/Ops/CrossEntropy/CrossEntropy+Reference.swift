/// Mean cross-entropy of logits [rows, W] with targets [rows]; `−100` is ignored.
struct CrossEntropyReference: OperationReference {
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let (logits, targets) = (inputs[0], inputs[1])
        let kept = targets.values.count { $0 != -100 }
        var loss: S = 0
        for r in 0..<logits.shape[0] where targets[r] != -100 {
            loss += logarithmOfSum(logits, r) - logits[r, Int(targets[r])]
        }
        return [ReferenceArray([1], [loss / S(max(1, kept))])]
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let (logits, targets) = (inputs[0], inputs[1])
        let kept = targets.values.count { $0 != -100 }
        var dLogits = ReferenceArray<S>(logits.shape)
        for r in 0..<logits.shape[0] where targets[r] != -100 {
            let all = logarithmOfSum(logits, r)
            for w in 0..<logits.shape[1] {
                let hit: S = w == Int(targets[r]) ? 1 : 0
                dLogits[r, w] = (S.exponential(logits[r, w] - all) - hit) * upstream[0][0] / S(max(1, kept))
            }
        }
        return [dLogits, nil]
    }

    /// log Σ_w exp(logits[r, w])
    private func logarithmOfSum<S: ReferenceScalar>(_ logits: ReferenceArray<S>, _ r: Int) -> S {
        var most = logits[r, 0]
        for w in 0..<logits.shape[1] { most = max(most, logits[r, w]) }
        var sum: S = 0
        for w in 0..<logits.shape[1] { sum += S.exponential(logits[r, w] - most) }
        return most + S.logarithm(sum)
    }
}

/// The same of `logits = hidden Wᵀ`. Inputs hidden [rows, D], weight [W, D], targets [rows].
struct LinearCrossEntropyReference: OperationReference {
    @specialized(where S == Double)
    @specialized(where S == Float)
    func forward<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>]) -> [ReferenceArray<S>] {
        let logits = LinearReference().forward([inputs[0], inputs[1]])[0]
        return CrossEntropyReference().forward([logits, inputs[2]])
    }

    @specialized(where S == Double)
    @specialized(where S == Float)
    func gradients<S: ReferenceScalar>(_ inputs: [ReferenceArray<S>], _ upstream: [ReferenceArray<S>])
        -> [ReferenceArray<S>?]
    {
        let logits = LinearReference().forward([inputs[0], inputs[1]])[0]
        guard let dLogits = CrossEntropyReference().gradients([logits, inputs[2]], upstream)[0] else { return [] }
        return LinearReference().gradients([inputs[0], inputs[1]], [dLogits]) + [nil]
    }
}
