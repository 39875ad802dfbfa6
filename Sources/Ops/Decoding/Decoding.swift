import GDNAutograd
import GDNTensor

extension Tape {
    /// One token of a block for every sequence: `x += mixer(norm(x)); x += MLP(norm(x))`. Not differentiated.
    ///
    /// On a GPU a chain of a few fused kernels where the block's shape fits (`DecodingChain`); elsewhere, the operations
    /// of the other rooms one after the other.
    /// - Parameters:
    ///   - stream: x [B, D], float32
    ///   - weights: norms, filters and gates float32; matrices in the dtype to compute in
    ///   - state: of the sequences; left as it is
    /// - Returns: the stream after the block and the state after the token.
    /// - Throws: `ShapeError` naming the argument that does not fit.
    package func decodingStep(
        _ stream: Variable, weights: DecodingWeights<Variable>, state: DecodingState<Variable>, options: DecodingOptions
    ) throws -> (stream: Variable, state: DecodingState<Variable>) {
        try checkDecoding(stream, weights, state, options)
        if case .cuda(let cuda) = backend,
            let result = try decodingStepCUDA(cuda, stream, weights, state, options)
        {
            return result
        }
        return try decodingStepByOperations(stream, weights, state, options)
    }

    private func checkDecoding(
        _ stream: Variable, _ weights: DecodingWeights<Variable>, _ state: DecodingState<Variable>,
        _ options: DecodingOptions
    ) throws {
        let name = "decoding"
        guard stream.shape.rank == 2, stream.value.dtype == .float32 else {
            throw ShapeError(
                name, "stream is \(stream.value.dtype.rawValue) \(stream.shape), expected float32 [B, D]")
        }
        let (batch, width, mlpWidth) = (stream.shape[0], stream.shape[1], weights.gate.shape[0])
        let rows = options.projectionRows
        guard weights.projections.count == rows.count else {
            throw ShapeError(name, "there are \(weights.projections.count) projections, expected \(rows.count)")
        }
        for (index, matrix) in ["q", "k", "v", "gate", "a", "b"].enumerated() {
            guard let weight = weights.projections[index] else {
                if rows[index] > 0 { throw ShapeError(name, "projection \(matrix) is missing") }
                continue
            }
            try weight.value.require(name, "projection \(matrix)", shape: [rows[index], width])
        }
        try weights.output.value.require(name, "output", shape: [width, options.valueWidth])
        try weights.gate.value.require(name, "gate", shape: [mlpWidth, width])
        try weights.up.value.require(name, "up", shape: [mlpWidth, width])
        try weights.down.value.require(name, "down", shape: [width, mlpWidth])
        try state.memory.value.require(
            name, "memory", shape: [batch, options.valueHeads, options.keyDim, options.valueDim], dtype: .float32)
        let convolutions = options.taps > 0 ? 3 : 0
        guard weights.filters.count == convolutions, state.windows.count == convolutions else {
            throw ShapeError(
                name,
                "there are \(weights.filters.count) filters and \(state.windows.count) windows, expected "
                    + "\(convolutions) of each")
        }
        for (index, window) in state.windows.enumerated() {
            try window.value.require(
                name, "window \(index)", shape: [batch, rows[index], options.taps - 1], dtype: .float32)
        }
    }
}
