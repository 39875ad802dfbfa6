import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("short_convolution", "ShortConvolution/kernel.cu")

/// The form for a GPU: saves x by reference, which may lie beside other results, as its gradient does then; the backward
/// computes what goes into the activation again.
struct ShortConvolutionCUDA {
    let cuda: CUDABackend
    let shape: ShortConvolutionShape
    let activation: Activation
    let x: Columns
    let weight: Variable
    let bias: Variable?
    let initialState: Variable?
    let sequences: Tensor?

    /// Computes output and final state and records the backward.
    func record(on tape: Tape) throws -> [Variable] {
        let inputs = [x.rows, weight] + [bias, initialState].compactMap { $0 }
        let (input, channels, width) = (x.argument, shape.channels, shape.width)
        let (dtype, count) = (x.dtype, x.shape.count)
        let isHalf = dtype == .bfloat16
        let vector = channels % 4 == 0 && (isHalf || width <= 4) ? 4 : 1
        let isLean = isHalf && width <= 4
        let (forwardBlocks, backwardBlocks) = (isLean ? 8 : 4, width > 4 ? 2 : isLean && bias == nil ? 5 : 4)
        let kernels = try CUDAKernels(
            cuda, source, dtype,
            [
                ("VECTOR", "\(vector)"), ("TAPS", "\(width)"), ("ACTIVATION", activation.cudaCode),
                ("BIAS", bias == nil ? "0" : "1"), ("FORWARD_BLOCKS", "\(forwardBlocks)"),
                ("BACKWARD_BLOCKS", "\(backwardBlocks)"),
            ])
        let scale = try cuda.convert(weight.value, to: .float32)
        let shift = try bias.map { try cuda.convert($0.value, to: .float32) }
        let state = initialState?.value
        let tokens = x.shape.rows
        let forward = ConvolutionGrid(cuda, channels / vector, tokens, blocks: forwardBlocks, limit: 48)
        let extents: [KernelArgument] = [
            .optional(sequences), .int(shape.sequenceCount), .int(x.shape[1]), .int(channels), .int(x.pitch),
        ]
        let weights: [KernelArgument] = [.tensor(scale), .optional(shift), .optional(state)]

        let output = try cuda.empty(x.shape, dtype)
        if x.shape[1] == 1, sequences == nil, !tape.needsBackward(inputs) {
            let newState = try cuda.empty(shape.stateShape)
            try kernels.launch(
                "short_convolution_step", blocks: (count + 127) / 128, threads: 128,
                [.tensor(output), .tensor(newState), input] + weights + [.int(channels), .int(x.pitch), .long(count)])
            return [Variable(output), Variable(newState)]
        }
        try kernels.launch(
            "short_convolution_forward", grid: forward.grid, threads: 128,
            [.tensor(output), input] + weights + extents + [.int(tokens), .int(forward.tile)])
        let finalState = try cuda.empty(shape.stateShape)
        let stateBlocks = width > 1 ? (shape.sequenceCount * channels + 127) / 128 : 0
        try kernels.launch(
            "short_convolution_state", blocks: stateBlocks, threads: 128,
            [.tensor(finalState), input, .optional(state)] + extents)

        return tape.record(inputs, [output, finalState]) { gradients in
            let dx = try x.gradient(on: cuda)
            let wantsState = initialState?.requiresGradient ?? false
            // Zeros: a sequence without tokens writes nothing.
            let dState = try wantsState ? cuda.zeros(shape.stateShape) : nil
            let backward = ConvolutionGrid(cuda, channels / vector, tokens, blocks: backwardBlocks, limit: 160)
            let partial = try cuda.empty([backward.grid.1, (bias == nil ? width : width + 1) * channels])
            let upstream = try gradients[0] ?? cuda.zeros(x.shape, dtype)
            try kernels.launch(
                "short_convolution_backward", grid: backward.grid, threads: 128,
                [dx.argument, .tensor(partial), .optional(dState), .tensor(upstream), input] + weights
                    + extents + [.int(tokens), .int(backward.tile)])
            if let dFinal = gradients[1] {
                try kernels.launch(
                    "short_convolution_backward_state", blocks: stateBlocks, threads: 128,
                    [dx.argument, .optional(dState), .tensor(dFinal)] + extents)
            }
            let dWeight = try cuda.empty(weight.shape)
            let dBias = try bias.map { try cuda.empty($0.shape) }
            try kernels.launch(
                "short_convolution_backward_weight", blocks: (channels + 127) / 128, threads: 128,
                [.tensor(dWeight), .optional(dBias), .tensor(try cuda.sumRows(partial)), .int(channels)])
            var results: [Tensor?] = [dx.forTape, dWeight]
            if bias != nil { results.append(dBias) }
            if initialState != nil { results.append(dState) }
            return results
        }
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
    ///   - vectors: of channels
    ///   - blocks: that a multiprocessor holds
    ///   - limit: short ones begin and end sooner, long ones repeat less of the backward at their edges
    init(_ cuda: CUDABackend, _ vectors: Int, _ tokens: Int, blocks: Int, limit: Int) {
        let columns = (vectors + 31) / 32
        let warpsInTime = 4 * max(1, cuda.description.multiprocessors * blocks / columns)
        let waves = (tokens + limit * warpsInTime - 1) / (limit * warpsInTime)
        let even = (tokens + waves * warpsInTime - 1) / (waves * warpsInTime)
        // A multiple of the batch at the usual widths; short tiles would compute their edges twice too often.
        tile = max(16, (even + 3) / 4 * 4)
        grid = (columns, (tokens + 4 * tile - 1) / (4 * tile))
    }
}
