import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let stepSource = kernelSource("decoding_step", "Decoding/chain.cuh", "Decoding/step.cu")

/// The kernels of one token for a batch of sequences, and the memory between them. No allocation, so a token can be recorded
/// as a graph. The residual stream is float32.
///
/// There are three ways of multiplying, by the number of sequences and the dtype: streamed (a few sequences, everything
/// fused), wide (up to 64 in bfloat16), and a library's.
package final class DecodingChain {
    /// A block's weights as the kernels read them.
    package struct Block {
        var norm: Tensor
        var projections: [Tensor?]
        /// q, k, v, gate, a, b one below the other, where products read them so.
        var packed: Tensor?
        var filters: [Tensor]
        var logRate: Tensor?
        var timeStepBias: Tensor?
        var outputNorm: Tensor?
        var output, mlpNorm, gate, up, down: Tensor
    }

    private let work: DecodingWork
    private let products: any DecodingProducts
    private let step: DecodingStepPlan
    /// The residual stream, [B, D].
    package var stream: Tensor { work.stream }

    /// A chain for blocks of a shape; nil where the kernels do not fit it.
    package init?(
        _ cuda: CUDABackend, _ options: DecodingOptions, batch: Int, width: Int, mlpWidth: Int, dtype: DType
    ) throws {
        guard options.keyNormalisation == .l2 || options.keyNormalisation == .none,
            options.keyActivation != .none, options.taps <= 8, options.keyDim <= 512, options.valueDim % 4 == 0,
            options.keyWidth % 2 == 0, [width, mlpWidth, options.valueWidth].allSatisfy({ $0 % 8 == 0 })
        else { return nil }
        work = try DecodingWork(cuda, options, batch: batch, width: width, mlpWidth: mlpWidth, dtype: dtype)
        step = DecodingStepPlan(options, batch: batch)
        if let streamed = StreamedProducts(work) {
            products = streamed
        } else if let wide = try WideProducts(work) {
            products = wide
        } else {
            products = try LibraryProducts(work)
        }
    }

    /// A block's weights, converted and laid out where the kernels need it.
    package func block(_ weights: DecodingWeights<Variable>) throws -> Block {
        func float(_ variable: Variable) throws -> Tensor { try work.cuda.convert(variable.value, to: .float32) }
        let projections = try weights.projections.map { try $0.map(matrix) }
        let packed = products.readsPacked ? try packed(projections) : nil
        return Block(
            norm: try float(weights.norm), projections: packed == nil ? projections : [], packed: packed,
            filters: try weights.filters.map(float), logRate: try weights.decay.map { try float($0.logRate) },
            timeStepBias: try weights.decay.map { try float($0.timeStepBias) },
            outputNorm: try weights.outputNorm.map(float), output: try matrix(weights.output),
            mlpNorm: try float(weights.mlpNorm), gate: try matrix(weights.gate), up: try matrix(weights.up),
            down: try matrix(weights.down))
    }

    /// A matrix as the kernels read it.
    package func matrix(_ weight: Variable) throws -> Tensor { try weight.operand(work.cuda, work.dtype) }

    private func packed(_ projections: [Tensor?]) throws -> Tensor {
        let rows = try work.cuda.zeros([work.stride, work.width], work.dtype)
        for (matrix, column) in zip(projections, work.columns) {
            if let matrix { try work.cuda.copy(matrix, into: rows.slice(column..<column + matrix.shape[0])) }
        }
        return rows
    }

    /// Begins a token: the next kernel waits for everything before it.
    package func begin() {
        work.begin()
        products.begin()
    }

    /// The stream becomes the embeddings of tokens [B, 1].
    package func embed(_ tokens: Tensor, table: Variable) throws { try work.embed(tokens, table: table.value) }

    /// A block, which adds to the stream and replaces the state in its tensors.
    package func run(_ block: Block, _ state: DecodingState<Tensor>) throws {
        try products.project(block, windows: state.windows)
        try recur(block, memory: state.memory)
        try products.output(block)
        try products.feedForward(block)
    }

    /// Completes the stream after the last block, where nothing else reads it.
    package func finish(_ block: Block) throws { try products.finish(block) }

    /// Logits [B, W], float32, from the stream.
    package func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws {
        try products.head(logits, norm: norm, weight: weight, eps: eps)
    }

    /// The step of the recurrence: key norms, gates, and the memory's update in place.
    private func recur(_ block: Block, memory: Tensor) throws {
        let options = work.options
        try work.launch(
            stepSource, "step", step.defines, blocks: step.blocks, threads: DecodingStepPlan.threads,
            [
                .tensor(work.o), .tensor(memory), .tensor(work.mixed), .optional(block.logRate),
                .optional(block.timeStepBias), .int(work.stride), .int(options.heads), .int(options.valueHeads),
                .int(work.columns[4]), .int(work.columns[5]), .float(options.allowsNegativeEigenvalues ? 2 : 1),
                .float(1 / Float(options.keyDim).squareRoot()),
            ])
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
