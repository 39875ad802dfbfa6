import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let forwardSource = kernelSource(
    "short_convolution_forward", "ShortConvolution/convolution.cuh", "ShortConvolution/forward.cu")
private let backwardSource = kernelSource(
    "short_convolution_backward", "ShortConvolution/convolution.cuh", "ShortConvolution/backward.cu")

/// The form for a GPU, up to three convolutions a launch: saves x by reference, which may lie beside other results, as
/// its gradient does then; the backward computes what goes into the activation again.
struct ShortConvolutionCUDA {
    /// Channels with a filter and an output of their own.
    struct Part {
        let shape: ShortConvolutionShape
        let x: Columns
        let weight: Variable
        let initialState: Variable?
        /// Whether heads are scaled to length 1.
        var normalises = false
    }

    let cuda: CUDABackend
    /// All of equal rows, pitch, dtype and number of taps.
    let parts: [Part]
    let activation: Activation
    /// Of the only part.
    var bias: Variable?
    let sequences: Tensor?
    /// Channels of a head, where a part is normalised, and what is added to its sum of squares.
    var heads: (dim: Int, eps: Float)?

    private var first: Part { parts[0] }
    private var dtype: DType { first.x.dtype }
    private var taps: Int { first.shape.width }
    private var tokens: Int { first.x.shape.rows }
    private var sequenceCount: Int { first.shape.sequenceCount }

    /// Whether several parts and heads are such that one launch can take them: a head is a warp's channels or a part of
    /// them.
    var isOneLaunch: Bool {
        let alike = parts.allSatisfy {
            $0.x.pitch == first.x.pitch && $0.x.dtype == dtype && $0.shape.width == taps
                && $0.x.shape.rows == tokens && $0.x.shape[1] == first.x.shape[1]
        }
        guard alike, parts.count <= 3 else { return false }
        guard let heads else { return true }
        let lanes = heads.dim / forwardVector
        return heads.dim % forwardVector == 0 && lanes <= 32 && lanes & (lanes - 1) == 0
            && parts.allSatisfy { !$0.normalises || $0.shape.channels % (32 * forwardVector) == 0 }
    }

    /// Channels a thread takes.
    private var vector: Int {
        let fits = parts.allSatisfy { $0.shape.channels % 4 == 0 && $0.x.pitch % 4 == 0 }
        return fits && (dtype == .bfloat16 || taps <= 4) ? 4 : 1
    }
    private var forwardVector: Int {
        let fits = parts.allSatisfy { $0.shape.channels % 8 == 0 && $0.x.pitch % 8 == 0 }
        return fits && dtype == .bfloat16 && taps <= 4 && (heads?.dim ?? 0) > 128 ? 8 : vector
    }

    /// Computes outputs and final states and records the backward.
    func record(on tape: Tape) throws -> [(output: Variable, finalState: Variable)] {
        let inputs =
            parts.flatMap { [$0.x.rows, $0.weight] + [$0.initialState].compactMap { $0 } } + [bias].compactMap { $0 }
        let weights = try parts.map { try cuda.convert($0.weight.value, to: .float32) }
        let shift = try bias.map { try cuda.convert($0.value, to: .float32) }
        let outputs = try parts.map { try cuda.empty($0.x.shape, dtype) }
        let finalStates = try parts.map { try cuda.empty($0.shape.stateShape) }
        if first.x.shape[1] == 1, sequences == nil, heads == nil, !tape.needsBackward(inputs) {
            let kernels = try forwardKernels()
            for (index, part) in parts.enumerated() {
                try kernels.launch(
                    "short_convolution_step", blocks: (part.x.shape.count + 127) / 128, threads: 128,
                    [
                        .tensor(outputs[index]), .tensor(finalStates[index]), part.x.argument, .tensor(weights[index]),
                        .optional(shift), .optional(part.initialState?.value), .int(part.shape.channels),
                        .int(part.x.pitch), .long(part.x.shape.count),
                    ])
            }
        } else {
            let factors = try launchForward(outputs, weights, shift)
            // Outputs as they are have no part in the backward.
            let lengths = zip(outputs, factors).map { output, factor in factor.map { (output: output, factor: $0) } }
            try launchStates(finalStates)
            let results = tape.record(inputs, outputs + finalStates) { gradients in
                try backward(gradients, lengths: lengths, weights: weights, shift: shift)
            }
            return zip(results, results.dropFirst(parts.count)).map { ($0, $1) }
        }
        return zip(outputs, finalStates).map { (Variable($0), Variable($1)) }
    }

    /// - Returns: 1 / length of every head [tokens, heads], where a part is normalised
    private func launchForward(_ outputs: [Tensor], _ weights: [Tensor], _ shift: Tensor?) throws -> [Tensor?] {
        let grid = ConvolutionGrid(
            cuda, parts.map(\.shape.channels), vector: forwardVector, tokens, blocks: forwardBlocks, limit: 24)
        let factors = try parts.map { part in
            try part.normalises ? heads.map { try cuda.empty([tokens, part.shape.channels / $0.dim]) } : nil
        }
        var arguments = ofParts { .tensor(outputs[$0]) }
        arguments += ofParts { .optional(factors[$0]) }
        arguments += ofParts { parts[$0].x.argument } + ofParts { .tensor(weights[$0]) }
        arguments += ofParts { .optional(parts[$0].initialState?.value) } + channels
        arguments += [.optional(shift)] + extents
        try forwardKernels().launch(
            "short_convolution_forward", grid: grid.grid, threads: 128,
            arguments + [.int(tokens), .int(grid.tile), .float(heads?.eps ?? 0)])
        return factors
    }

    private func launchStates(_ finalStates: [Tensor]) throws {
        guard taps > 1 else { return }
        let kernels = try forwardKernels()
        for (part, finalState) in zip(parts, finalStates) {
            try kernels.launch(
                "short_convolution_state", blocks: (sequenceCount * part.shape.channels + 127) / 128, threads: 128,
                [
                    .tensor(finalState), part.x.argument, .optional(part.initialState?.value), .optional(sequences),
                    .int(sequenceCount), .int(part.x.shape[1]), .int(part.shape.channels), .int(part.x.pitch),
                ])
        }
    }

    /// - Parameters:
    ///   - gradients: of the outputs, then of the final states
    ///   - lengths: of parts that are normalised, the output and 1 / length of its heads
    private func backward(
        _ gradients: [Tensor?], lengths: [(output: Tensor, factor: Tensor)?], weights: [Tensor], shift: Tensor?
    ) throws -> [Tensor?] {
        let upstream = try parts.indices.map { index in
            let gradient = try gradients[index] ?? cuda.zeros(parts[index].x.shape, dtype)
            guard let heads, let (output, factor) = lengths[index] else { return gradient }
            let shape: Shape = [factor.count, heads.dim]
            return try l2NormBackward(cuda, gradient.reshaped(shape), y: output.reshaped(shape), factor: factor)
        }
        let dx = try parts.map { try $0.x.gradient(on: cuda) }
        // Zeros: a sequence without tokens writes nothing.
        let dStates = try parts.map { part in
            part.initialState?.requiresGradient ?? false ? try cuda.zeros(part.shape.stateShape) : nil
        }
        let grid = ConvolutionGrid(
            cuda, parts.map(\.shape.channels), vector: vector, tokens, blocks: backwardBlocks, limit: 160)
        let allChannels = parts.reduce(0) { $0 + $1.shape.channels }
        let partial = try cuda.empty([grid.grid.1, (bias == nil ? taps : taps + 1) * allChannels])
        var arguments = ofParts { dx[$0].argument }
        arguments += ofParts { .optional(dStates[$0]) } + ofParts { .tensor(upstream[$0]) }
        arguments += ofParts { parts[$0].x.argument } + ofParts { .tensor(weights[$0]) }
        arguments += ofParts { .optional(parts[$0].initialState?.value) } + channels
        arguments += [.tensor(partial), .optional(shift)] + extents
        let kernels = try backwardKernels()
        try kernels.launch(
            "short_convolution_backward", grid: grid.grid, threads: 128,
            arguments + [.int(tokens), .int(grid.tile)])
        for (index, part) in parts.enumerated() {
            guard taps > 1, let dFinal = gradients[parts.count + index] else { continue }
            try kernels.launch(
                "short_convolution_backward_state", blocks: (sequenceCount * part.shape.channels + 127) / 128,
                threads: 128,
                [
                    dx[index].argument, .optional(dStates[index]), .tensor(dFinal), .optional(sequences),
                    .int(sequenceCount), .int(part.x.shape[1]), .int(part.shape.channels), .int(part.x.pitch),
                ])
        }
        let dWeights = try parts.map { try cuda.empty($0.weight.shape) }
        let dBias = try bias.map { try cuda.empty($0.shape) }
        try kernels.launch(
            "short_convolution_backward_weight", blocks: (allChannels + 127) / 128, threads: 128,
            ofParts { .tensor(dWeights[$0]) } + channels + [.optional(dBias), .tensor(try cuda.sumRows(partial))])
        var results: [Tensor?] = []
        for (index, part) in parts.enumerated() {
            results += [dx[index].forTape, dWeights[index]]
            if part.initialState != nil { results.append(dStates[index]) }
        }
        return bias == nil ? results : results + [dBias]
    }

    /// An argument for each of the kernels' three parts; null where there is none.
    private func ofParts(_ argument: (Int) -> KernelArgument) -> [KernelArgument] {
        (0..<3).map { $0 < parts.count ? argument($0) : .optional(nil) }
    }
    private var channels: [KernelArgument] { (0..<3).map { .int($0 < parts.count ? parts[$0].shape.channels : 0) } }
    private var extents: [KernelArgument] {
        [.optional(sequences), .int(sequenceCount), .int(first.x.shape[1]), .int(first.x.pitch)]
    }

    private var isLean: Bool { dtype == .bfloat16 && taps <= 4 }
    private var forwardBlocks: Int { isLean && forwardVector < 8 ? (heads == nil ? 8 : 7) : 4 }
    private var backwardBlocks: Int { taps > 4 ? 2 : isLean && bias == nil ? 5 : 4 }

    private func forwardKernels() throws -> CUDAKernels {
        try CUDAKernels(
            cuda, forwardSource, dtype,
            defines(vector: forwardVector, blocks: forwardBlocks) + [("HEAD_DIM", "\(heads?.dim ?? 0)")])
    }
    private func backwardKernels() throws -> CUDAKernels {
        try CUDAKernels(cuda, backwardSource, dtype, defines(vector: vector, blocks: backwardBlocks))
    }
    private func defines(vector: Int, blocks: Int) -> KernelDefines {
        [
            ("VECTOR", "\(vector)"), ("TAPS", "\(taps)"), ("ACTIVATION", activation.cudaCode),
            ("BIAS", bias == nil ? "0" : "1"), ("BLOCKS", "\(blocks)"),
        ]
    }
}

/// How blocks of 32 vectors of channels and four tiles of tokens cover the input.
private struct ConvolutionGrid {
    /// Tokens of a tile.
    let tile: Int
    let grid: (Int, Int)

    /// Tiles of at most `limit` tokens, such that the blocks fill the device a whole number of times: else the last
    /// ones would run almost alone, with too few loads under way.
    /// - Parameters:
    ///   - channels: of every part
    ///   - vector: channels of a thread
    ///   - blocks: that a multiprocessor holds
    ///   - limit: short ones begin and end sooner, long ones repeat less of the backward at their edges
    init(_ cuda: CUDABackend, _ channels: [Int], vector: Int, _ tokens: Int, blocks: Int, limit: Int) {
        let columns = channels.reduce(0) { $0 + ($1 + 32 * vector - 1) / (32 * vector) }
        let warpsInTime = 4 * max(1, cuda.description.multiprocessors * blocks / columns)
        let waves = (tokens + limit * warpsInTime - 1) / (limit * warpsInTime)
        let even = (tokens + waves * warpsInTime - 1) / (waves * warpsInTime)
        // A multiple of the batch at the usual widths; short tiles would compute their edges twice too often.
        tile = max(16, (even + 3) / 4 * 4)
        grid = (columns, (tokens + 4 * tile - 1) / (4 * tile))
    }
}
