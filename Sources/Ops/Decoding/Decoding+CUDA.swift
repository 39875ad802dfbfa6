import GDNAutograd
import GDNCUDABackend
import GDNTensor

private func source(_ name: String) -> KernelSource {
    kernelSource("decoding_\(name)", "Decoding/chain.cuh", "Decoding/product.cuh", "Decoding/\(name).cu")
}
private let projectSource = source("project")
private let outputSource = source("output")
private let gateUpSource = source("gate_up")
private let downSource = source("down")
private let headSource = source("head")
private let stepSource = kernelSource("decoding_step", "Decoding/chain.cuh", "Decoding/step.cu")
private func wideSource(_ name: String) -> KernelSource {
    kernelSource("decoding_wide_\(name)", "Decoding/chain.cuh", "Decoding/wide.cuh", "Decoding/wide_\(name).cu")
}
private let wideProjectSource = wideSource("project")
private let wideGateUpSource = wideSource("gate_up")
private let widePartSource = wideSource("part")
private let rowsSource = kernelSource("decoding_rows", "Decoding/chain.cuh", "Decoding/rows.cu")

/// The fused kernels of one token for a batch of sequences, and the memory between them. No allocation, so a token can be
/// recorded as a graph.
///
/// A few sequences (`streamedLimit`): a block is five kernels that read every weight once (`product.cuh`). Above that smaller
/// kernels stand between the products: these are ours up to 64 sequences in bfloat16 (`wide.cuh`), a library's elsewhere. The
/// residual stream is float32.
package final class DecodingChain {
    /// A block's weights as the kernels read them.
    package struct Block {
        var norm: Tensor
        var projections: [Tensor?]
        /// q, k, v, gate, a, b one below the other, for more than `streamedLimit` sequences.
        var packed: Tensor?
        var filters: [Tensor]
        var logRate: Tensor?
        var timeStepBias: Tensor?
        var outputNorm: Tensor?
        var output, mlpNorm, gate, up, down: Tensor
    }

    private let cuda: CUDABackend
    private let options: DecodingOptions
    private let batch, width, mlpWidth: Int
    private let dtype: DType
    /// Floats from one sequence's projections to the next one's.
    private let stride: Int
    private let columns: [Int]
    private let products: Products
    private let step: DecodingStepPlan
    /// The residual stream, [B, D].
    package let stream: Tensor
    private let mixed, o, hidden: Tensor
    /// What is still to be added to the stream: parts of a product [slices, B, D].
    private var pending: (parts: Tensor, slices: Int)?
    /// Whether a kernel of the chain has been launched: the first one waits for everything before it.
    private var hasStarted = false

    /// Most sequences whose products are streamed. Every block keeps all rows of x, which leaves less and less room for the
    /// weights; wide products, which bfloat16 has, are faster from five rows on.
    private static func streamedLimit(_ dtype: DType) -> Int { dtype == .bfloat16 ? 4 : 8 }

    private enum Products {
        case streamed(Streamed)
        case wide(Wide)
        case library(Library)
    }
    private struct Streamed {
        var project, output, gateUp, down: StreamedProductPlan
    }
    private struct Wide {
        var project, output, gateUp, down: WideProductPlan
        var normed, heads, parts: Tensor
    }
    private struct Library {
        var normed, heads, gate, up: Tensor
    }

    /// A chain for blocks of a shape; nil where the kernels do not fit it.
    package init?(
        _ cuda: CUDABackend, _ options: DecodingOptions, batch: Int, width: Int, mlpWidth: Int, dtype: DType
    ) throws {
        let valueWidth = options.valueWidth
        guard options.keyNormalisation == .l2 || options.keyNormalisation == .none,
            options.keyActivation != .none, options.taps <= 8, options.keyDim <= 512, options.valueDim % 4 == 0,
            options.keyWidth % 2 == 0, [width, mlpWidth, valueWidth].allSatisfy({ $0 % 8 == 0 })
        else { return nil }
        (self.cuda, self.options, self.batch, self.width, self.mlpWidth, self.dtype) =
            (cuda, options, batch, width, mlpWidth, dtype)
        let rows = options.projectionRows
        columns = rows.indices.map { rows[..<$0].reduce(0, +) }
        stride = (rows.reduce(0, +) + 15) / 16 * 16
        step = DecodingStepPlan(options, batch: batch)
        func plan(_ inputs: Int, _ units: Int) -> StreamedProductPlan? {
            StreamedProductPlan(
                inputs: inputs, units: units, batch: batch, dtype: dtype,
                multiprocessors: cuda.description.multiprocessors,
                sharedLimit: cuda.description.sharedBytesPerBlock)
        }
        let units = rows.reduce(0) { $0 + ($1 + 7) / 8 }
        func widePlan(_ inputs: Int, _ rows: Int, slices: Int = 1) -> WideProductPlan? {
            guard dtype == .bfloat16, batch <= WideProductPlan.mostRows else { return nil }
            return WideProductPlan(
                inputs: inputs, rows: rows, batch: batch, mostSlices: slices,
                multiprocessors: cuda.description.multiprocessors, sharedLimit: cuda.description.sharedBytesPerBlock)
        }
        if batch <= Self.streamedLimit(dtype), let project = plan(width, units),
            let output = plan(valueWidth, (width + 7) / 8), let gateUp = plan(width, (mlpWidth + 3) / 4),
            let down = plan(mlpWidth, (width + 7) / 8)
        {
            products = .streamed(Streamed(project: project, output: output, gateUp: gateUp, down: down))
        } else if let project = widePlan(width, stride), let output = widePlan(valueWidth, width, slices: 8),
            let gateUp = widePlan(width, 2 * mlpWidth), let down = widePlan(mlpWidth, width, slices: 8)
        {
            products = .wide(
                Wide(
                    project: project, output: output, gateUp: gateUp, down: down,
                    normed: try cuda.empty([batch, width], dtype), heads: try cuda.empty([batch, valueWidth], dtype),
                    parts: try cuda.empty([max(output.slices, down.slices), batch, width])))
        } else {
            products = .library(
                Library(
                    normed: try cuda.empty([batch, width], dtype), heads: try cuda.empty([batch, valueWidth], dtype),
                    gate: try cuda.empty([batch, mlpWidth], dtype), up: try cuda.empty([batch, mlpWidth], dtype)))
        }
        stream = try cuda.empty([batch, width])
        mixed = try cuda.empty([batch, stride])
        o = try cuda.empty([batch, valueWidth])
        hidden = try cuda.empty([batch, mlpWidth], dtype)
    }

    /// A block's weights, converted and laid out where the kernels need it.
    package func block(_ weights: DecodingWeights<Variable>) throws -> Block {
        func number(_ variable: Variable?) throws -> Tensor? {
            try variable.map { try cuda.convert($0.value, to: .float32) }
        }
        func float(_ variable: Variable) throws -> Tensor { try cuda.convert(variable.value, to: .float32) }
        let projections = try weights.projections.map { try $0?.operand(cuda, dtype) }
        var packed: Tensor?
        if case .streamed = products {
        } else {
            let rows = try cuda.zeros([stride, width], dtype)
            for (matrix, column) in zip(projections, columns) {
                if let matrix { try cuda.copy(matrix, into: rows.slice(column..<column + matrix.shape[0])) }
            }
            packed = rows
        }
        return Block(
            norm: try float(weights.norm), projections: packed == nil ? projections : [], packed: packed,
            filters: try weights.filters.map(float), logRate: try number(weights.decay?.logRate),
            timeStepBias: try number(weights.decay?.timeStepBias), outputNorm: try number(weights.outputNorm),
            output: try weights.output.operand(cuda, dtype), mlpNorm: try float(weights.mlpNorm),
            gate: try weights.gate.operand(cuda, dtype), up: try weights.up.operand(cuda, dtype),
            down: try weights.down.operand(cuda, dtype))
    }

    /// A matrix as the kernels read it.
    package func matrix(_ weight: Variable) throws -> Tensor { try weight.operand(cuda, dtype) }

    /// Begins a token: the next kernel waits for everything before it.
    package func begin() { (hasStarted, pending) = (false, nil) }

    /// Completes the stream after the last block, where nothing else reads it.
    package func finish(_ block: Block) throws {
        if case .wide(let wide) = products { try normalise(wide.normed, block.norm, eps: options.eps) }
    }

    /// The stream becomes the embeddings of tokens [B, 1].
    package func embed(_ tokens: Tensor, table: Variable) throws {
        let values = table.value
        try launchRows(
            "embed", warps: 8 * batch,
            [
                .tensor(stream), .tensor(tokens), .tensor(values), .int(values.shape[0]), .int(width),
            ], table: values.dtype)
    }

    /// A block, which adds to the stream and replaces the state in its tensors.
    package func run(_ block: Block, _ state: DecodingState<Tensor>) throws {
        let gate = mixed.reshaped([mixed.count]).slice(columns[3]..<mixed.count)
        let windows = state.windows.map { KernelArgument.tensor($0) } + block.filters.map { .tensor($0) }
        let convolution = windows.isEmpty ? Array(repeating: KernelArgument.optional(nil), count: 6) : windows
        func convolve() throws {
            let channels = 2 * options.keyWidth + options.valueWidth
            try launchRows(
                "convolve", warps: batch * channels / 32 + 1,
                [.tensor(mixed)] + convolution
                    + [.int(batch), .int(stride), .int(options.keyWidth), .int(options.valueWidth)])
        }
        switch products {
        case .streamed(let plans):
            let rows = options.projectionRows
            try launch(
                projectSource, "project", plans.project,
                [("TAPS", "\(options.taps)"), ("ACTIVATION", options.keyActivation.cudaCode)],
                [.tensor(mixed), .tensor(stream), .tensor(block.norm), .float(options.eps)]
                    + block.projections.map { .optional($0) } + rows.map { .int($0) } + [.int(stride)] + convolution)
        case .wide(let wide):
            try normalise(wide.normed, block.norm, eps: options.eps)
            try launch(
                wideProjectSource, "wide_project", wide.project,
                [
                    .tensor(mixed), .tensor(wide.normed), .optional(block.packed), .int(stride), .int(batch),
                    .int(stride),
                ])
            try convolve()
        case .library(let library):
            guard let packed = block.packed else { break }
            try normalise(library.normed, block.norm, eps: options.eps)
            try multiply(mixed, library.normed, packed)
            try convolve()
        }

        let kernels = try CUDAKernels(cuda, stepSource, dtype, step.defines)
        try launchChained(
            kernels, "step", blocks: step.blocks, threads: DecodingStepPlan.threads,
            [
                .tensor(o), .tensor(state.memory), .tensor(mixed), .optional(block.logRate),
                .optional(block.timeStepBias), .int(stride), .int(options.heads), .int(options.valueHeads),
                .int(columns[4]), .int(columns[5]), .float(options.allowsNegativeEigenvalues ? 2 : 1),
                .float(1 / Float(options.keyDim).squareRoot()),
            ])

        let norms: KernelDefines = [
            ("HAS_NORM", options.hasOutputNorm ? "1" : "0"), ("HAS_GATE", options.hasGate ? "1" : "0"),
        ]
        let heads: [KernelArgument] = [
            .tensor(o), .tensor(gate), .int(stride), .optional(block.outputNorm), .float(options.eps),
        ]
        func finishHeads(_ result: Tensor) throws {
            try launchRows(
                "heads", warps: batch * options.valueHeads, warpsABlock: 2,
                [.tensor(result)] + heads + [.int(batch), .int(options.valueHeads), .int(options.valueDim)])
        }
        switch products {
        case .streamed(let plans):
            try launch(
                outputSource, "output", plans.output, norms + [("VALUE_DIM", "\(options.valueDim)")],
                [.tensor(stream)] + heads + [.tensor(block.output), .int(width)])
            try launch(
                gateUpSource, "gate_up", plans.gateUp, [],
                [
                    .tensor(hidden), .tensor(stream), .tensor(block.mlpNorm), .float(options.eps), .tensor(block.gate),
                    .tensor(block.up), .int(mlpWidth),
                ])
            try launch(
                downSource, "down", plans.down, [],
                [.tensor(stream), .tensor(hidden), .tensor(block.down), .int(width)])
        case .wide(let wide):
            try finishHeads(wide.heads)
            try part(wide.heads, block.output, wide.output, wide.parts)
            try normalise(wide.normed, block.mlpNorm, eps: options.eps)
            try launch(
                wideGateUpSource, "wide_gate_up", wide.gateUp,
                [
                    .tensor(hidden), .tensor(wide.normed), .tensor(block.gate), .tensor(block.up), .int(mlpWidth),
                    .int(batch),
                ])
            try part(hidden, block.down, wide.down, wide.parts)
        case .library(let library):
            try finishHeads(library.heads)
            try multiply(stream, library.heads, block.output, adding: true)
            try normalise(library.normed, block.mlpNorm, eps: options.eps)
            try multiply(library.gate, library.normed, block.gate)
            try multiply(library.up, library.normed, block.up)
            try launchRows(
                "swiglu", warps: 8 * loopBlocks(hidden.count / 8),
                [.tensor(hidden), .tensor(library.gate), .tensor(library.up), .long(hidden.count)])
            try multiply(stream, hidden, block.down, adding: true)
        }
    }

    /// Logits [B, W], float32, from the stream.
    package func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws {
        let count = weight.shape[0]
        switch products {
        case .streamed:
            let plan = StreamedProductPlan(
                inputs: width, units: (count + 7) / 8, batch: batch, dtype: dtype,
                multiprocessors: cuda.description.multiprocessors, sharedLimit: cuda.description.sharedBytesPerBlock)
            guard let plan else { break }
            try launch(
                headSource, "head", plan, [],
                [.tensor(logits), .tensor(stream), .tensor(norm), .float(eps), .tensor(weight), .int(count)])
        case .wide(let wide):
            try normalise(wide.normed, norm, eps: eps)
            try multiply(logits, wide.normed, weight)
        case .library(let library):
            try normalise(library.normed, norm, eps: eps)
            try multiply(logits, library.normed, weight)
        }
    }

    /// The stream, completed, over its rms times a weight.
    private func normalise(_ result: Tensor, _ weight: Tensor, eps: Float) throws {
        try launchRows(
            "normalise", warps: 8 * batch,
            [
                .tensor(result), .tensor(stream), .optional(pending?.parts), .int(pending?.slices ?? 0),
                .tensor(weight),
                .float(eps), .int(width),
            ])
        pending = nil
    }

    /// x Wᵀ in slices, to be added to the stream.
    private func part(_ x: Tensor, _ weight: Tensor, _ plan: WideProductPlan, _ parts: Tensor) throws {
        try launch(
            widePartSource, "wide_part", plan,
            [.tensor(parts), .tensor(x), .tensor(weight), .int(width), .int(batch)])
        pending = (parts, plan.slices)
    }

    /// y = x Wᵀ, or y += x Wᵀ.
    private func multiply(_ y: Tensor, _ x: Tensor, _ weight: Tensor, adding: Bool = false) throws {
        try cuda.matmul(
            y, x, weight, transposeB: true, m: batch, n: weight.shape[0], k: weight.shape[1], beta: adding ? 1 : 0)
        hasStarted = true
    }

    private func launch(
        _ source: KernelSource, _ name: String, _ plan: StreamedProductPlan, _ defines: KernelDefines,
        _ arguments: [KernelArgument]
    ) throws {
        let kernels = try CUDAKernels(cuda, source, dtype, plan.defines + defines)
        try launchChained(
            kernels, name, blocks: plan.blocks, threads: StreamedProductPlan.threads, shared: plan.shared, arguments)
    }

    private func launch(
        _ source: KernelSource, _ name: String, _ plan: WideProductPlan, _ arguments: [KernelArgument]
    ) throws {
        try launchChained(
            CUDAKernels(cuda, source, dtype, plan.defines), name, blocks: plan.blocks,
            threads: WideProductPlan.threads, shared: plan.shared, arguments)
    }

    private func launchRows(
        _ name: String, warps: Int, warpsABlock: Int = 8, _ arguments: [KernelArgument], table: DType = .float32
    ) throws {
        let defines: KernelDefines = [
            ("TAPS", "\(options.taps)"), ("ACTIVATION", options.keyActivation.cudaCode),
            ("HAS_NORM", options.hasOutputNorm ? "1" : "0"), ("HAS_GATE", options.hasGate ? "1" : "0"),
            ("TABLE", table == .bfloat16 ? "bfloat16" : "float"),
        ]
        try launchChained(
            CUDAKernels(cuda, rowsSource, dtype, defines), name, blocks: (warps + warpsABlock - 1) / warpsABlock,
            threads: 32 * warpsABlock, arguments)
    }

    private func launchChained(
        _ kernels: CUDAKernels, _ name: String, blocks: Int, threads: Int, shared: Int = 0,
        _ arguments: [KernelArgument]
    ) throws {
        try kernels.launchChained(
            "decoding_\(name)", blocks: blocks, threads: threads, shared: shared, startsEarly: hasStarted, arguments)
        hasStarted = true
    }
}

extension Tape {
    /// The step by the fused kernels, on copies; nil where they do not fit.
    func decodingStepCUDA(
        _ cuda: CUDABackend, _ stream: Variable, _ weights: DecodingWeights<Variable>,
        _ state: DecodingState<Variable>, _ options: DecodingOptions
    ) throws -> (stream: Variable, state: DecodingState<Variable>)? {
        guard
            let chain = try DecodingChain(
                cuda, options, batch: stream.shape[0], width: stream.shape[1], mlpWidth: weights.gate.shape[0],
                dtype: weights.output.value.dtype)
        else { return nil }
        func copy(_ variable: Variable) throws -> Tensor {
            let result = try cuda.empty(variable.shape)
            try cuda.copy(variable.value, into: result)
            return result
        }
        try cuda.copy(stream.value, into: chain.stream)
        let result = DecodingState(windows: try state.windows.map(copy), memory: try copy(state.memory))
        let block = try chain.block(weights)
        chain.begin()
        try chain.run(block, result)
        try chain.finish(block)
        return (
            Variable(chain.stream),
            DecodingState(windows: result.windows.map { Variable($0) }, memory: Variable(result.memory))
        )
    }
}
