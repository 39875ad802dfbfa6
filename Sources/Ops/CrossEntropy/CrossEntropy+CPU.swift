import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Logits exist for one block of rows at a time. Saved for the backward: dhidden and dweight for a loss gradient
    /// of 1.
    func linearCrossEntropyCPU(
        _ cpu: CPUBackend, _ hidden: Variable, weight: Variable, targets: Tensor, ignoreIndex: Int32, kept: Int
    ) throws -> Variable {
        let head = Head(hidden: hidden.value, weight: weight.value)
        let records = needsBackward([hidden, weight])
        let dHidden = records && hidden.requiresGradient ? cpu.empty(hidden.shape) : nil
        let dWeight = records && weight.requiresGradient ? cpu.empty(weight.shape) : nil
        let losses = cpu.empty([head.rows])
        head.forEachBlock(cpu) { block, logits in
            softmaxCPU(
                cpu, logits, gradient: records ? logits : nil, losses: losses.floats + block.lowerBound,
                targets: targets.int32s + block.lowerBound, ignoreIndex: ignoreIndex, kept: kept, rows: block.count,
                width: head.vocabulary)
            if let dHidden {
                cpu.matmul(
                    dHidden.floats + block.lowerBound * head.width, ldc: head.width, logits, lda: head.vocabulary,
                    head.weight.floats, ldb: head.width, m: block.count, n: head.width, k: head.vocabulary)
            }
            if let dWeight {
                cpu.matmul(
                    dWeight.floats, ldc: head.width, logits, lda: head.vocabulary, transposeA: true,
                    head.hidden.floats + block.lowerBound * head.width, ldb: head.width, m: head.vocabulary,
                    n: head.width, k: block.count, beta: block.lowerBound == 0 ? 0 : 1)
            }
        }
        let backend = backend
        return record([hidden, weight], [meanLoss(cpu, losses, kept: kept)]) { gradients in
            guard let factor = gradients[0]?.floats[0] else { return [nil, nil] }
            if let dHidden { cpu.scale(dHidden, by: factor) }
            if let dWeight { cpu.scale(dWeight, by: factor) }
            if let parameter = weight as? Parameter, let dWeight {
                try parameter.accumulate(on: backend) { buffer, overwrite in
                    if overwrite { cpu.copy(dWeight, into: buffer) } else { cpu.add(into: buffer, dWeight) }
                }
                return [dHidden, nil]
            }
            return [dHidden, dWeight]
        }[0]
    }

    /// Saves the gradient of the logits for a loss gradient of 1.
    func crossEntropyCPU(_ cpu: CPUBackend, _ logits: Variable, targets: Tensor, ignoreIndex: Int32, kept: Int)
        -> Variable
    {
        let (rows, width) = (logits.shape.rows, logits.shape[-1])
        let gradient = needsBackward([logits]) ? cpu.empty(logits.shape) : nil
        let losses = cpu.empty([rows])
        softmaxCPU(
            cpu, logits.value.floats, gradient: gradient?.floats, losses: losses.floats, targets: targets.int32s,
            ignoreIndex: ignoreIndex, kept: kept, rows: rows, width: width)
        return record([logits], [meanLoss(cpu, losses, kept: kept)]) { gradients in
            guard let factor = gradients[0]?.floats[0], let gradient else { return [nil] }
            cpu.scale(gradient, by: factor)
            return [gradient]
        }[0]
    }

    /// Blocks of rows, nothing recorded.
    func logProbabilitiesCPU(
        _ cpu: CPUBackend, hidden: Tensor, weight: Tensor, targets: Tensor, ignoreIndex: Int32
    ) -> Tensor {
        let head = Head(hidden: hidden, weight: weight)
        let result = cpu.empty(targets.shape)
        head.forEachBlock(cpu) { block, logits in
            softmaxCPU(
                cpu, logits, gradient: nil, losses: result.floats + block.lowerBound,
                targets: targets.int32s + block.lowerBound, ignoreIndex: ignoreIndex, kept: 1, rows: block.count,
                width: head.vocabulary)
        }
        cpu.scale(result, by: -1)
        return result
    }

    private func softmaxCPU(
        _ cpu: CPUBackend, _ logits: UnsafePointer<Float>, gradient: UnsafeMutablePointer<Float>?,
        losses: UnsafeMutablePointer<Float>, targets: UnsafePointer<Int32>, ignoreIndex: Int32, kept: Int, rows: Int,
        width: Int
    ) {
        let scale = 1 / Float(max(1, kept))
        cpu.parallel(rows, grain: max(1, 4096 / max(1, width))) { range in
            let start = range.lowerBound
            gdn_cross_entropy(
                losses + start, gradient.map { $0 + start * width }, logits + start * width, targets + start,
                ignoreIndex, scale, range.count, width)
        }
    }

    private func meanLoss(_ cpu: CPUBackend, _ losses: Tensor, kept: Int) -> Tensor {
        let sum = UnsafeBufferPointer(start: losses.floats, count: losses.count).reduce(0.0) { $0 + Double($1) }
        return cpu.tensor([Float(sum / Double(max(1, kept)))], [1])
    }
}

/// A linear head over rows of hidden states, evaluated in blocks of rows.
private struct Head {
    let hidden: Tensor
    let weight: Tensor
    var rows: Int { hidden.shape.rows }
    var width: Int { hidden.shape[-1] }
    var vocabulary: Int { weight.shape[0] }

    /// Rows a block: about 8 MB of logits, at least 64 rows. Depends on the vocabulary alone.
    var blockRows: Int { max(64, (2 << 20) / max(1, vocabulary)) }

    /// Computes the logits of each block in turn, in one buffer that `body` may overwrite.
    func forEachBlock(_ cpu: CPUBackend, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void) {
        let logits = cpu.empty([min(rows, blockRows), vocabulary])
        for start in stride(from: 0, to: rows, by: blockRows) {
            let block = start..<min(rows, start + blockRows)
            let from = hidden.floats + start * width
            if weight.dtype == .bfloat16 {
                cpu.matmul(
                    logits.floats, ldy: vocabulary, from, ldx: width, bfloat16Weight: weight.bfloat16Bits, ldw: width,
                    m: block.count, n: vocabulary, k: width)
            } else {
                cpu.matmul(
                    logits.floats, ldc: vocabulary, from, lda: width, weight.floats, ldb: width, transposeB: true,
                    m: block.count, n: vocabulary, k: width)
            }
            body(block, logits.floats)
        }
    }
}
