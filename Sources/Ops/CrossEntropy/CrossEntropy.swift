import GDNAutograd
import GDNTensor

extension Tape {
    /// Mean cross-entropy of a linear head, without ever holding all logits: `mean_t −log softmax(hidden_t Wᵀ)[target_t]`.
    ///
    /// Rows are taken in blocks. When recording, the gradients of `hidden` and `weight` are computed in the same pass,
    /// and the backward multiplies them by the loss's gradient.
    /// - Parameters:
    ///   - hidden: [..., D]
    ///   - weight: [W, D]
    ///   - targets: int32, one for each row of `hidden`, in 0..<W or `ignoreIndex`
    ///   - ignoreIndex: rows with this target count neither in the sum nor in the mean
    /// - Returns: [1], in nats; 0 when every target is ignored.
    /// - Throws: `ShapeError` when shapes do not fit or a target is not in the vocabulary.
    public func linearCrossEntropy(
        _ hidden: Variable, weight: Variable, targets: Tensor, ignoreIndex: Int32 = -100
    ) throws -> Variable {
        try requireHead("linear_cross_entropy", hidden.value, weight.value, targets)
        switch backend {
        case .cpu(let cpu):
            let kept = try keptTargets("linear_cross_entropy", targets, vocabulary: weight.shape[0], ignoreIndex)
            return try inFloat32(cpu, [hidden, weight], keepingFloat32: [0]) { inputs in
                [
                    try linearCrossEntropyCPU(
                        cpu, inputs[0], weight: inputs[1], targets: targets, ignoreIndex: ignoreIndex, kept: kept)
                ]
            }[0]
        case .cuda(let cuda):
            return try linearCrossEntropyCUDA(cuda, hidden, weight: weight, targets: targets, ignoreIndex: ignoreIndex)
        }
    }

    /// Mean cross-entropy of logits: `mean_t −log softmax(logits_t)[target_t]`.
    ///
    /// - Parameters:
    ///   - logits: [..., W]
    ///   - targets: int32, one for each row, in 0..<W or `ignoreIndex`
    ///   - ignoreIndex: rows with this target count neither in the sum nor in the mean
    /// - Returns: [1], in nats; 0 when every target is ignored.
    /// - Throws: `ShapeError` when there is not one target a row or one is not in the vocabulary.
    public func crossEntropy(_ logits: Variable, targets: Tensor, ignoreIndex: Int32 = -100) throws -> Variable {
        try requireTargets("cross_entropy", targets, rows: logits.shape.rows)
        switch backend {
        case .cpu(let cpu):
            let kept = try keptTargets("cross_entropy", targets, vocabulary: logits.shape[-1], ignoreIndex)
            return inFloat32(cpu, [logits], keepingFloat32: [0]) { inputs in
                [crossEntropyCPU(cpu, inputs[0], targets: targets, ignoreIndex: ignoreIndex, kept: kept)]
            }[0]
        case .cuda(let cuda):
            return try crossEntropyCUDA(cuda, logits, targets: targets, ignoreIndex: ignoreIndex)
        }
    }

    /// Natural logarithms of the targets' probabilities under a linear head, in blocks of rows, without gradient.
    ///
    /// - Parameters:
    ///   - hidden: float32 [..., D]
    ///   - weight: [W, D], float32 or bfloat16
    ///   - targets: int32, one for each row, in 0..<W or −100
    /// - Returns: the shape of `targets`, ≤ 0; 0 where the target is −100.
    /// - Throws: `ShapeError` when shapes do not fit or a target is not in the vocabulary.
    public func logProbabilities(hidden: Tensor, weight: Tensor, targets: Tensor) throws -> Tensor {
        try requireHead("log_probabilities", hidden, weight, targets)
        switch backend {
        case .cpu(let cpu):
            _ = try keptTargets("log_probabilities", targets, vocabulary: weight.shape[0], -100)
            return logProbabilitiesCPU(cpu, hidden: hidden, weight: weight, targets: targets, ignoreIndex: -100)
        case .cuda(let cuda):
            return try logProbabilitiesCUDA(cuda, hidden: hidden, weight: weight, targets: targets)
        }
    }
}

private func requireTargets(_ operation: String, _ targets: Tensor, rows: Int) throws {
    guard targets.dtype == .int32, targets.count == rows else {
        throw ShapeError(
            operation,
            "targets are \(targets.dtype.rawValue) \(targets.shape), expected int32, one for each of \(rows) rows")
    }
}

private func requireHead(_ operation: String, _ hidden: Tensor, _ weight: Tensor, _ targets: Tensor) throws {
    guard weight.shape.rank == 2, weight.shape[1] == hidden.shape[-1] else {
        throw ShapeError(operation, "weight has shape \(weight.shape), expected [vocabulary, \(hidden.shape[-1])]")
    }
    try requireTargets(operation, targets, rows: hidden.shape.rows)
}

/// Number of targets that count, all in the vocabulary.
private func keptTargets(_ operation: String, _ targets: Tensor, vocabulary: Int, _ ignoreIndex: Int32) throws -> Int {
    var kept = 0
    for index in 0..<targets.count where targets.int32s[index] != ignoreIndex {
        let target = targets.int32s[index]
        guard target >= 0, Int(target) < vocabulary else {
            throw ShapeError(operation, "target \(index) is \(target), expected 0..<\(vocabulary) or \(ignoreIndex)")
        }
        kept += 1
    }
    return kept
}
