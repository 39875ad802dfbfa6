import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

/// The float32 form. Rows are cut into fixed blocks; the backward computes the pre-activation again and sums the
/// gradients of weight and bias over the blocks in order.
struct ShortConvolutionCPU {
    let cpu: CPUBackend
    let shape: ShortConvolutionShape
    let activation: Activation
    let x: Variable
    let weight: Variable
    let bias: Variable?
    let initialState: Variable?

    private var rows: Int { x.shape.rows }
    private var channels: Int { shape.channels }
    private var width: Int { shape.width }
    private var inputs: [Variable] { [x, weight] + [bias, initialState].compactMap { $0 } }

    /// Computes output and final state and records the backward.
    func record(on tape: Tape) -> [Variable] {
        if x.shape[1] == 1, !tape.needsBackward(inputs), rows == shape.sequenceCount {
            return tape.record(inputs, step()) { _ in [] }
        }
        let prepared = Prepared(self)
        let output = cpu.empty(x.shape)
        let input = x.value
        let blocks = (rows + blockRows - 1) / blockRows
        cpu.parallel(blocks) { block in
            for piece in shape.pieces(of: rows(of: block)) {
                let start = piece.start * channels
                gdn_short_convolution_forward(
                    output.floats + start, input.floats + start, prepared.history(piece.sequence),
                    prepared.weight.floats, activation.kernelCode, channels, width, piece.tokens.lowerBound,
                    piece.tokens.upperBound)
            }
        }
        let finalState = cpu.empty(shape.stateShape)
        cpu.parallel(shape.sequenceCount, grain: 8) { range in
            for sequence in range {
                let start = shape.boundaries[sequence]
                gdn_short_convolution_state(
                    finalState.floats + sequence * stateStride, input.floats + start * channels,
                    prepared.history(sequence), channels, width, shape.boundaries[sequence + 1] - start)
            }
        }
        return tape.record(inputs, [output, finalState]) { gradients in
            backward(prepared, gradients[0], stateUpstream: gradients[1])
        }
    }

    /// Decoding: one token a sequence, the weight as it lies.
    private func step() -> [Tensor] {
        let output = cpu.empty(x.shape)
        let next = cpu.empty(shape.stateShape)
        let (input, scale, shift) = (x.value, weight.value, bias?.value)
        let state = initialState?.value ?? cpu.zeros(shape.stateShape)
        cpu.parallel(rows, grain: 8) { range in
            for row in range {
                gdn_short_convolution_step(
                    output.floats + row * channels, next.floats + row * stateStride, input.floats + row * channels,
                    state.floats + row * stateStride, scale.floats, shift?.floats, activation.kernelCode,
                    channels, width)
            }
        }
        return [output, next]
    }

    private func backward(_ prepared: Prepared, _ upstream: Tensor?, stateUpstream: Tensor?) -> [Tensor?] {
        let input = x.value
        let dx = cpu.empty(input.shape)
        let wantsState = initialState?.requiresGradient ?? false
        // Zeros: a sequence without tokens writes nothing.
        let dHistory = wantsState ? cpu.zeros([shape.sequenceCount, width - 1, channels]) : nil
        let dy = upstream ?? cpu.zeros(input.shape)
        let sums = cpu.sumOverRowBlocks(rows: rows, shape: prepared.weight.shape, blockRows: blockRows) { range, sums in
            for piece in shape.pieces(of: range) {
                let start = piece.start * channels
                gdn_short_convolution_backward(
                    dx.floats + start, dHistory.map { $0.floats + piece.sequence * stateStride }, sums,
                    dy.floats + start, input.floats + start, prepared.history(piece.sequence), prepared.weight.floats,
                    activation.kernelCode, channels, width, piece.length, piece.tokens.lowerBound,
                    piece.tokens.upperBound)
            }
        }
        if let stateUpstream {
            for sequence in 0..<shape.sequenceCount {
                let start = shape.boundaries[sequence]
                gdn_short_convolution_state_backward(
                    dx.floats + start * channels, dHistory.map { $0.floats + sequence * stateStride },
                    stateUpstream.floats + sequence * stateStride, channels, width,
                    shape.boundaries[sequence + 1] - start)
            }
        }
        let dWeight = cpu.empty(weight.shape)
        let dBias = bias.map { cpu.empty($0.shape) }
        gdn_short_convolution_unpack(dWeight.floats, dBias?.floats, sums.floats, channels, width)
        var results: [Tensor?] = [dx, dWeight]
        if bias != nil { results.append(dBias) }
        if initialState != nil { results.append(dHistory.map(channelMajor)) }
        return results
    }

    /// [N, W − 1, C] to [N, C, W − 1]
    private func channelMajor(_ history: Tensor) -> Tensor {
        let state = cpu.empty(shape.stateShape)
        for sequence in 0..<shape.sequenceCount {
            let start = sequence * stateStride
            gdn_short_convolution_transpose(state.floats + start, history.floats + start, width - 1, channels)
        }
        return state
    }

    private var blockRows: Int { 256 }
    private var stateStride: Int { channels * (width - 1) }

    private func rows(of block: Int) -> Range<Int> {
        block * blockRows..<min(rows, (block + 1) * blockRows)
    }

    /// Weight and bias packed for the kernels, states time-major; zeros where there is no bias or state.
    private struct Prepared {
        let weight: Tensor
        private let states: Tensor
        private let stride: Int

        init(_ form: ShortConvolutionCPU) {
            let (cpu, channels, width) = (form.cpu, form.channels, form.width)
            let lanes = Int(GDN_SHORT_CONVOLUTION_LANES)
            weight = cpu.empty([(channels + lanes - 1) / lanes, width + 1, lanes])
            gdn_short_convolution_pack(
                weight.floats, form.weight.value.floats, form.bias?.value.floats, channels, width)
            guard let initialState = form.initialState?.value else {
                states = cpu.zeros([width - 1, channels])
                stride = 0
                return
            }
            stride = form.stateStride
            states = cpu.empty([form.shape.sequenceCount, width - 1, channels])
            for sequence in 0..<form.shape.sequenceCount {
                let start = sequence * stride
                gdn_short_convolution_transpose(
                    states.floats + start, initialState.floats + start, channels, width - 1)
            }
        }

        /// The W − 1 rows before a sequence.
        func history(_ sequence: Int) -> UnsafeMutablePointer<Float> { states.floats + sequence * stride }
    }
}
