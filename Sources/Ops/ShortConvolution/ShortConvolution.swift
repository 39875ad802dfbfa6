import GDNAutograd
import GDNTensor

extension Tape {
    /// A causal convolution of a few taps over time, each channel by itself:
    /// `y_t = activation(bias + Σ_w weight_w x_{t−W+1+w})`, the last tap on the current token.
    ///
    /// - Parameters:
    ///   - x: [B, T, C]
    ///   - weight: [C, W] or [C, 1, W], 1 ≤ W ≤ 8
    ///   - bias: [C]; none when nil
    ///   - activation: applied to the sum
    ///   - initialState: the W − 1 inputs before the first token of each sequence, oldest first, [N, C, W − 1]; zeros
    ///     when nil. N is B, or the number of packed sequences
    ///   - sequences: boundaries of packed sequences, int32 [N + 1], from 0 to T, not descending; B must be 1. No token
    ///     sees across a boundary
    /// - Returns: `output` [B, T, C], and `finalState` [N, C, W − 1], the last W − 1 inputs, always float32.
    /// - Throws: `ShapeError` naming the argument that does not fit.
    /// - Source: Yang et al. 2024, Gated Delta Networks, figure 1; Fu et al. 2023 (H3), section 3.2.
    public func shortConvolution(
        _ x: Variable, weight: Variable, bias: Variable? = nil, activation: Activation,
        initialState: Variable? = nil, sequences: Tensor? = nil
    ) throws -> (output: Variable, finalState: Variable) {
        try shortConvolution(
            Columns(x), weight: weight, bias: bias, activation: activation, initialState: initialState,
            sequences: sequences)
    }

    /// The same over x that may lie beside other results; `output` does not.
    public func shortConvolution(
        _ x: Columns, weight: Variable, bias: Variable? = nil, activation: Activation,
        initialState: Variable? = nil, sequences: Tensor? = nil
    ) throws -> (output: Variable, finalState: Variable) {
        let shape = try ShortConvolutionShape(
            x: x.shape, weight: weight.value, bias: bias?.value, initialState: initialState?.value,
            sequences: sequences)
        switch backend {
        case .cpu(let cpu):
            let x = try variable(x)
            let inputs = [x, weight] + [bias, initialState].compactMap { $0 }
            let outputs = inFloat32(cpu, inputs, keepingFloat32: [1]) { inputs in
                let form = ShortConvolutionCPU(
                    cpu: cpu, shape: shape, activation: activation, x: inputs[0], weight: inputs[1],
                    bias: bias == nil ? nil : inputs[2],
                    initialState: initialState == nil ? nil : inputs[inputs.count - 1])
                return form.record(on: self)
            }
            return (outputs[0], outputs[1])
        case .cuda(let cuda):
            let part = ShortConvolutionCUDA.Part(shape: shape, x: x, weight: weight, initialState: initialState)
            let form = ShortConvolutionCUDA(
                cuda: cuda, parts: [part], activation: activation, bias: bias, sequences: sequences)
            return try form.record(on: self)[0]
        }
    }

    /// Convolutions over several projections of one input, heads of some scaled to length 1 as by `l2Norm`: what goes
    /// into the delta rule. On a GPU one pass over memory, where a head is 32, 64, 128 or (in bfloat16) 256 channels.
    ///
    /// - Parameters:
    ///   - parts: x_i [B, T, C_i], their weights and states; at most three for one pass
    ///   - activation: of all
    ///   - headDim: channels of a head; divides C_i where a part is normalised
    ///   - eps: added to a head's sum of squares, > 0
    ///   - sequences: as for one convolution
    /// - Returns: `output` [B, T, C_i] and `finalState` of each part.
    /// - Throws: `ShapeError` naming the argument that does not fit.
    /// - Source: Yang et al. 2024, Gated Delta Networks, figure 1.
    public func shortConvolutions(
        _ parts: [ConvolutionPart], activation: Activation, headDim: Int, eps: Float, sequences: Tensor? = nil
    ) throws -> [(output: Variable, finalState: Variable)] {
        for part in parts where part.normalises && (headDim < 1 || part.x.width % headDim != 0) {
            throw ShapeError("short_convolutions", "heads of \(headDim) do not divide \(part.x.width) channels")
        }
        if case .cuda(let cuda) = backend, !parts.isEmpty {
            let checked = try parts.map { part in
                ShortConvolutionCUDA.Part(
                    shape: try ShortConvolutionShape(
                        x: part.x.shape, weight: part.weight.value, bias: nil,
                        initialState: part.initialState?.value, sequences: sequences),
                    x: part.x, weight: part.weight, initialState: part.initialState, normalises: part.normalises)
            }
            let form = ShortConvolutionCUDA(
                cuda: cuda, parts: checked, activation: activation, sequences: sequences,
                heads: parts.contains { $0.normalises } ? (headDim, eps) : nil)
            if form.isOneLaunch { return try form.record(on: self) }
        }
        return try parts.map { part in
            let (output, finalState) = try shortConvolution(
                part.x, weight: part.weight, activation: activation, initialState: part.initialState,
                sequences: sequences)
            guard part.normalises else { return (output, finalState) }
            let heads = Shape(output.shape.dims.dropLast() + [output.shape[-1] / headDim, headDim])
            return (reshape(try l2Norm(reshape(output, heads), eps: eps), output.shape), finalState)
        }
    }
}

/// One of several convolutions that are computed together.
public struct ConvolutionPart {
    /// Inputs, [B, T, C].
    public let x: Columns
    /// Filter, [C, W] or [C, 1, W].
    public let weight: Variable
    /// The W − 1 inputs before the first token, [N, C, W − 1]; zeros when nil.
    public let initialState: Variable?
    /// Whether heads of the output are scaled to length 1.
    public let normalises: Bool

    /// A part.
    public init(_ x: Columns, weight: Variable, initialState: Variable? = nil, normalises: Bool = false) {
        self.x = x
        self.weight = weight
        self.initialState = initialState
        self.normalises = normalises
    }
}

/// The extents of a short convolution, checked: what every form of it needs to know.
struct ShortConvolutionShape {
    let channels: Int
    let width: Int
    /// First token of each sequence in the rows of x, and the number of rows at the end. Boundaries on a device stay
    /// there: then all are zero, and only their number counts.
    let boundaries: [Int]
    var sequenceCount: Int { boundaries.count - 1 }
    var stateShape: Shape { [sequenceCount, channels, width - 1] }

    init(x: Shape, weight: Tensor, bias: Tensor?, initialState: Tensor?, sequences: Tensor?) throws {
        let operation = "short_convolution"
        guard x.rank == 3 else {
            throw ShapeError(operation, "x has shape \(x), expected [B, T, C]")
        }
        let (batch, time) = (x[0], x[1])
        channels = x[2]
        width = weight.shape.rank > 0 ? weight.shape[-1] : 0
        guard weight.shape == [channels, width] || weight.shape == [channels, 1, width], (1...8).contains(width) else {
            throw ShapeError(
                operation,
                "weight has shape \(weight.shape), expected [\(channels), W] or [\(channels), 1, W] with W in 1...8")
        }
        if let bias { try bias.require(operation, "bias", shape: [channels]) }
        if let sequences {
            boundaries = try Self.boundaries(sequences, batch: batch, time: time)
        } else {
            boundaries = (0...batch).map { $0 * time }
        }
        if let initialState { try initialState.require(operation, "initialState", shape: stateShape) }
    }

    /// The sequences that touch these rows: number, first row, length, and the tokens of theirs inside.
    func pieces(of rows: Range<Int>) -> [(sequence: Int, start: Int, length: Int, tokens: Range<Int>)] {
        (0..<sequenceCount).lazy.drop { boundaries[$0 + 1] <= rows.lowerBound }
            .prefix { boundaries[$0] < rows.upperBound }
            .compactMap { sequence in
                let (start, end) = (boundaries[sequence], boundaries[sequence + 1])
                let tokens = max(start, rows.lowerBound) - start..<min(end, rows.upperBound) - start
                return tokens.isEmpty ? nil : (sequence, start, end - start, tokens)
            }
    }

    private static func boundaries(_ sequences: Tensor, batch: Int, time: Int) throws -> [Int] {
        let operation = "short_convolution"
        guard batch == 1 else {
            throw ShapeError(operation, "x has batch \(batch), expected 1 with packed sequences")
        }
        guard sequences.dtype == .int32, sequences.shape.rank == 1, sequences.count >= 2 else {
            throw ShapeError(
                operation, "sequences is \(sequences.dtype.rawValue) \(sequences.shape), expected int32 [N + 1]")
        }
        guard sequences.device == .cpu else { return Array(repeating: 0, count: sequences.count) }
        let boundaries = sequences.int32Array().map { Int($0) }
        guard boundaries[0] == 0, boundaries[boundaries.count - 1] == time,
            zip(boundaries, boundaries.dropFirst()).allSatisfy({ $0 <= $1 })
        else {
            throw ShapeError(operation, "sequences does not go from 0 to \(time) without descending")
        }
        return boundaries
    }
}
