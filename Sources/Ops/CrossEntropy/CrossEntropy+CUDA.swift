import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("cross_entropy", "CrossEntropy/kernel.cu")

extension Tape {
    /// Logits exist for one block of rows at a time, in float32. Saved for the backward: dhidden and dweight for a loss
    /// gradient of 1. A target outside of the vocabulary makes the loss NaN.
    func linearCrossEntropyCUDA(
        _ cuda: CUDABackend, _ hidden: Variable, weight: Variable, targets: Tensor, ignoreIndex: Int32
    ) throws -> Variable {
        let form = try CrossEntropyCUDA(cuda, hidden.value.dtype, logits: .float32, targets, ignoreIndex)
        let records = needsBackward([hidden, weight])
        let (x, w) = (hidden.value, try weight.operand(cuda, hidden.value.dtype))
        let (rows, width, vocabulary) = (x.shape.rows, x.shape[-1], w.shape[0])
        let dHidden = try records && hidden.requiresGradient ? cuda.empty(x.shape, x.dtype) : nil
        let dWeight = try records && weight.requiresGradient ? cuda.empty(w.shape) : nil
        let losses = try cuda.empty([rows])
        let flat = x.reshaped([rows, width])
        let size = min(rows, form.blockRows(vocabulary))
        let logits = try cuda.empty([size, vocabulary])
        let gradient = try !records ? nil : x.dtype == .float32 ? logits : cuda.empty([size, vocabulary], x.dtype)
        for start in stride(from: 0, to: rows, by: size) {
            let block = start..<min(rows, start + size)
            let part = flat.slice(block)
            try cuda.matmul(logits, part, w, transposeB: true, m: block.count, n: vocabulary, k: width)
            try form.rows(losses, gradient, logits, block)
            guard let gradient else { continue }
            if let dHidden {
                let to = dHidden.reshaped([rows, width]).slice(block)
                try cuda.matmul(to, gradient, w, m: block.count, n: width, k: vocabulary)
            }
            if let dWeight {
                try cuda.matmul(
                    dWeight, gradient, transposeA: true, part, m: vocabulary, n: width, k: block.count,
                    beta: start == 0 ? 0 : 1)
            }
        }
        let backend = backend
        return record([hidden, weight], [try form.mean(losses)]) { gradients in
            guard let factor = gradients[0] else { return [nil, nil] }
            if let dHidden { try form.scale(dHidden, dHidden, factor, add: false) }
            guard let dWeight else { return [dHidden, nil] }
            if let parameter = weight as? Parameter {
                try parameter.accumulate(on: backend) { try form.scale($0, dWeight, factor, add: !$1) }
                return [dHidden, nil]
            }
            try form.scale(dWeight, dWeight, factor, add: false)
            return [dHidden, dWeight]
        }[0]
    }

    /// Saves the gradient of the logits for a loss gradient of 1.
    func crossEntropyCUDA(_ cuda: CUDABackend, _ logits: Variable, targets: Tensor, ignoreIndex: Int32) throws
        -> Variable
    {
        let values = logits.value
        let form = try CrossEntropyCUDA(cuda, values.dtype, logits: values.dtype, targets, ignoreIndex)
        let rows = logits.shape.rows
        let gradient = try needsBackward([logits]) ? cuda.empty(logits.shape, values.dtype) : nil
        let losses = try cuda.empty([rows])
        try form.rows(losses, gradient, values, 0..<rows)
        return record([logits], [try form.mean(losses)]) { gradients in
            guard let factor = gradients[0], let gradient else { return [nil] }
            try form.scale(gradient, gradient, factor, add: false)
            return [gradient]
        }[0]
    }

    /// Blocks of rows, nothing recorded.
    func logProbabilitiesCUDA(_ cuda: CUDABackend, hidden: Tensor, weight: Tensor, targets: Tensor) throws -> Tensor {
        let form = try CrossEntropyCUDA(cuda, hidden.dtype, logits: .float32, targets, -100)
        let w = try cuda.convert(weight, to: hidden.dtype)
        let (rows, width, vocabulary) = (hidden.shape.rows, hidden.shape[-1], w.shape[0])
        let result = try cuda.empty(targets.shape)
        let size = min(rows, form.blockRows(vocabulary))
        let logits = try cuda.empty([size, vocabulary])
        for start in stride(from: 0, to: rows, by: size) {
            let block = start..<min(rows, start + size)
            let part = hidden.reshaped([rows, width]).slice(block)
            try cuda.matmul(logits, part, w, transposeB: true, m: block.count, n: vocabulary, k: width)
            try form.rows(result.reshaped([rows]), nil, logits, block)
        }
        try cuda.scale(result, by: -1, into: result)
        return result
    }
}

/// Kernels over rows of logits, for one set of targets.
private struct CrossEntropyCUDA {
    let cuda: CUDABackend
    private let kernels: CUDAKernels
    private let dtype: DType
    private let logit: KernelDefines
    private let targets: Tensor
    private let ignoreIndex: Int32
    /// Number of targets that count, and 1 / that.
    private let kept: Tensor

    init(_ cuda: CUDABackend, _ dtype: DType, logits: DType, _ targets: Tensor, _ ignoreIndex: Int32) throws {
        self.cuda = cuda
        self.dtype = dtype
        self.targets = targets.reshaped([targets.count])
        self.ignoreIndex = ignoreIndex
        logit = [("LOGIT", logits == .bfloat16 ? "bfloat16" : "float")]
        kernels = try CUDAKernels(cuda, source, dtype, logit)
        kept = try cuda.empty([2])
        try kernels.launch(
            "cross_entropy_count", blocks: 1, threads: 1024,
            [.tensor(kept), .tensor(targets), .long(targets.count), .int(Int(ignoreIndex))])
    }

    /// Rows of logits that exist at a time: about 512 MB of them, whole tiles of a matrix product.
    func blockRows(_ vocabulary: Int) -> Int { max(128, (128 << 20) / max(1, vocabulary) / 128 * 128) }

    /// Losses of rows `block`, whose logits come first in `logits`; and their gradient.
    func rows(_ losses: Tensor, _ gradient: Tensor?, _ logits: Tensor, _ block: Range<Int>) throws {
        let width = logits.shape[-1]
        let arguments: [KernelArgument] = [
            .tensor(losses.slice(block)), .optional(gradient), .tensor(logits), .tensor(targets.slice(block)),
            .tensor(kept), .int(Int(ignoreIndex)),
        ]
        // A row in shared memory and in the registers of 1024 threads, where it fits into both.
        let bytes = width * logits.dtype.byteCount
        if bytes % 16 == 0, width <= 40_960, bytes + 1024 <= cuda.description.sharedBytesPerBlock {
            let form = try CUDAKernels(cuda, source, dtype, logit + [("WORDS", "\(width)")])
            return try form.launch(
                "cross_entropy_short_rows", blocks: min(block.count, cuda.description.multiprocessors),
                threads: 1024, shared: bytes, arguments + [.int(block.count)])
        }
        try kernels.launch("cross_entropy_rows", blocks: block.count, threads: 256, arguments + [.int(width)])
    }

    /// The mean over the targets that count.
    func mean(_ losses: Tensor) throws -> Tensor {
        let loss = try cuda.empty([1])
        try kernels.launch(
            "cross_entropy_mean", blocks: 1, threads: 1024,
            [.tensor(loss), .tensor(losses), .tensor(kept), .long(losses.count)])
        return loss
    }

    /// `to = (add ? to : 0) + factor · from`, the factor on the device.
    func scale(_ to: Tensor, _ from: Tensor, _ factor: Tensor, add: Bool) throws {
        let form = to.dtype == dtype ? kernels : try CUDAKernels(cuda, source, to.dtype, [("LOGIT", "float")])
        let isAligned = [to, from].allSatisfy { $0.deviceAddress % 16 == 0 }
        let vectors = isAligned ? to.count * to.dtype.byteCount / 16 : 0
        try form.launch(
            "cross_entropy_scale", blocks: loopBlocks(isAligned ? vectors : to.count), threads: 256,
            [.tensor(to), .tensor(from), .tensor(factor), .int(add ? 1 : 0), .long(to.count), .long(vectors)])
    }
}
