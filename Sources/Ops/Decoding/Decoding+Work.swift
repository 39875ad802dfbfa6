import GDNCUDABackend
import GDNTensor

private let rowsSource = kernelSource("decoding_rows", "Decoding/chain.cuh", "Decoding/rows.cu")

/// What the kernels of a chain share: shapes, the memory between them, how they are launched, and the small kernels that
/// stand between products (`rows.cu`).
final class DecodingWork {
    let cuda: CUDABackend
    let options: DecodingOptions
    let batch, width, mlpWidth: Int
    let dtype: DType
    /// First columns of q, k, v, gate, a and b among a sequence's projections.
    let columns: [Int]
    /// Floats from one sequence's projections to the next one's.
    let stride: Int
    /// The residual stream, [B, D].
    let stream: Tensor
    /// The projections [B, stride] and the heads' outputs [B, HV V], float32; the inner activations of the MLP [B, F].
    let mixed, o, hidden: Tensor
    /// Whether a kernel of the chain has been launched: the first one waits for everything before it.
    private var hasStarted = false

    init(
        _ cuda: CUDABackend, _ options: DecodingOptions, batch: Int, width: Int, mlpWidth: Int, dtype: DType
    ) throws {
        (self.cuda, self.options, self.batch, self.width, self.mlpWidth, self.dtype) =
            (cuda, options, batch, width, mlpWidth, dtype)
        let rows = options.projectionRows
        columns = rows.indices.map { rows[..<$0].reduce(0, +) }
        stride = (rows.reduce(0, +) + 15) / 16 * 16
        stream = try cuda.empty([batch, width])
        mixed = try cuda.empty([batch, stride])
        o = try cuda.empty([batch, options.valueWidth])
        hidden = try cuda.empty([batch, mlpWidth], dtype)
    }

    /// Begins a token: the next kernel waits for everything before it.
    func begin() { hasStarted = false }

    /// Launches kernel `decoding_NAME` of a specialisation behind the one before it.
    func launch(
        _ source: KernelSource, _ name: String, _ defines: KernelDefines, blocks: Int, threads: Int, shared: Int = 0,
        _ arguments: [KernelArgument]
    ) throws {
        try CUDAKernels(cuda, source, dtype, defines).launchChained(
            "decoding_\(name)", blocks: blocks, threads: threads, shared: shared, startsEarly: hasStarted, arguments)
        hasStarted = true
    }

    /// y = x Wᵀ, or y += x Wᵀ, by the library.
    func multiply(_ y: Tensor, _ x: Tensor, _ weight: Tensor, adding: Bool = false) throws {
        try cuda.matmul(
            y, x, weight, transposeB: true, m: batch, n: weight.shape[0], k: weight.shape[1], beta: adding ? 1 : 0)
        hasStarted = true
    }

    // MARK: - Small kernels

    /// The stream becomes the embeddings of tokens [B, 1].
    func embed(_ tokens: Tensor, table: Tensor) throws {
        try launchRows(
            "embed", warps: 8 * batch,
            [.tensor(stream), .tensor(tokens), .tensor(table), .int(table.shape[0]), .int(width)],
            table: table.dtype)
    }

    /// The stream over its rms times a weight. First adds `slices` parts [slices, B, D] to the stream.
    func normalise(
        _ result: Tensor, _ weight: Tensor, eps: Float, adding parts: Tensor? = nil, slices: Int = 0
    ) throws {
        try launchRows(
            "normalise", warps: 8 * batch,
            [
                .tensor(result), .tensor(stream), .optional(parts), .int(slices), .tensor(weight), .float(eps),
                .int(width),
            ])
    }

    /// Convolutions and activations of q, k and v where they lie.
    func convolve(_ block: DecodingChain.Block, windows: [Tensor]) throws {
        let channels = 2 * options.keyWidth + options.valueWidth
        try launchRows(
            "convolve", warps: batch * channels / 32 + 1,
            [.tensor(mixed)] + convolutionArguments(block, windows)
                + [.int(batch), .int(stride), .int(options.keyWidth), .int(options.valueWidth)])
    }

    /// Norm and gate of the heads' outputs.
    func finishHeads(_ result: Tensor, _ block: DecodingChain.Block) throws {
        try launchRows(
            "heads", warps: batch * options.valueHeads, warpsABlock: 2,
            [.tensor(result)] + headArguments(block)
                + [.int(batch), .int(options.valueHeads), .int(options.valueDim)])
    }

    /// `hidden` = silu(gate) · up
    func swiGLU(_ gate: Tensor, _ up: Tensor) throws {
        try launchRows(
            "swiglu", warps: 8 * loopBlocks(hidden.count / 8),
            [.tensor(hidden), .tensor(gate), .tensor(up), .long(hidden.count)])
    }

    private func launchRows(
        _ name: String, warps: Int, warpsABlock: Int = 8, _ arguments: [KernelArgument], table: DType = .float32
    ) throws {
        let defines =
            convolutionDefines + headDefines + [("TABLE", table == .bfloat16 ? "bfloat16" : "float")]
        try launch(
            rowsSource, name, defines, blocks: (warps + warpsABlock - 1) / warpsABlock, threads: 32 * warpsABlock,
            arguments)
    }

    // MARK: - What kernels of several files take

    var convolutionDefines: KernelDefines {
        [("TAPS", "\(options.taps)"), ("ACTIVATION", options.keyActivation.cudaCode)]
    }

    /// Windows and filters of q, k and v; null without convolutions.
    func convolutionArguments(_ block: DecodingChain.Block, _ windows: [Tensor]) -> [KernelArgument] {
        let tensors = windows + block.filters
        return tensors.isEmpty ? Array(repeating: .optional(nil), count: 6) : tensors.map { .tensor($0) }
    }

    var headDefines: KernelDefines {
        [("HAS_NORM", options.hasOutputNorm ? "1" : "0"), ("HAS_GATE", options.hasGate ? "1" : "0")]
    }

    /// The heads' outputs, their gates and norm.
    func headArguments(_ block: DecodingChain.Block) -> [KernelArgument] {
        let gate = mixed.reshaped([mixed.count]).slice(columns[3]..<mixed.count)
        return [.tensor(o), .tensor(gate), .int(stride), .optional(block.outputNorm), .float(options.eps)]
    }
}
