import GDNAutograd
import GDNOps
import GDNTensor

/// A Gated DeltaNet language model: embeddings, blocks, a final norm and a head.
///
/// Used by one thread at a time. It knows nothing of files, ranks or training.
public final class LanguageModel {
    /// What a model carries from one call to the next when it generates: constant in size, whatever the length.
    public struct State {
        var layers: [GatedDeltaNetMixer.State]
        /// Tokens read so far.
        public internal(set) var position = 0
        /// Number of sequences.
        public let batch: Int

        /// The same tensors, written to by steps of one token instead of replaced. They must belong to nobody else.
        package func updatedInPlace() -> State {
            var state = self
            for index in state.layers.indices { state.layers[index].isUpdatedInPlace = true }
            return state
        }
        /// Bytes of all tensors.
        package var byteCount: Int {
            layers.reduce(0) { $0 + $1.memory.byteCount + $1.convolutions.reduce(0) { $0 + $1.byteCount } }
        }
    }

    /// Shapes and switches.
    public let configuration: ModelConfiguration
    /// Where the parameters live and computation runs.
    public let backend: Backend
    /// All trainable tensors under their checkpoint names, in the order of the checkpoint.
    public let parameters: [Parameter]

    let embeddings, finalNorm, head: Parameter
    let blocks: [Block]

    /// A model with fresh weights.
    /// - Parameters:
    ///   - configuration: shapes and switches
    ///   - backend: where it lives
    ///   - seed: determines the weights together with `scheme`
    ///   - scheme: how weights are drawn
    /// - Throws: `ConfigurationError` for shapes that do not fit together.
    public init(
        _ configuration: ModelConfiguration, backend: Backend, seed: UInt64 = 0, scheme: InitialisationScheme = .fla
    ) throws {
        try configuration.validate()
        self.configuration = configuration
        self.backend = backend
        let initialiser = Initialiser(
            scheme: scheme, seed: seed, layers: configuration.layers, range: configuration.initializerRange)
        var store = ParameterStore(backend: backend, initialiser: initialiser)
        let (vocabulary, width) = (configuration.vocabularySize, configuration.hiddenSize)
        embeddings = try store.embedding("model.embeddings.weight", vocabulary, width)
        blocks = try (0..<configuration.layers).map { try Block(configuration, index: $0, store: &store) }
        finalNorm = try store.norm("model.norm.weight", width)
        head =
            configuration.tieWordEmbeddings ? embeddings : try store.matrix("lm_head.weight", vocabulary, width)
        parameters = store.parameters
        try store.fill()
    }

    /// The final norm's output [B, T, D] for tokens [B, T].
    /// - Parameters:
    ///   - sequences: boundaries [N + 1] of packed sequences; then B is 1 and states restart at each boundary
    ///   - state: continued from and replaced, for generation
    ///   - recompute: keep only each block's input for backward and compute the block again there
    package func hidden(
        _ tape: Tape, tokens: Tensor, sequences: Tensor? = nil, state: inout State?, recompute: Bool = false
    ) throws -> Variable {
        try checkTokens(tokens)
        var stream = try tape.embedding(tokens, table: embeddings)
        var pending: Variable?
        for (index, block) in blocks.enumerated() {
            if recompute, tape.recording {
                (stream, pending) = try recomputed(block, tape, stream, pending, sequences)
            } else {
                var layerState = state?.layers[index]
                let (next, added) = try block.forward(tape, stream, pending, sequences: sequences, state: &layerState)
                (stream, pending) = (next, added)
                if let layerState { state?.layers[index] = layerState }
            }
        }
        state?.position += tokens.shape[1]
        guard let pending else { return stream }
        return try tape.addRMSNorm(pending, stream, weight: finalNorm, eps: Float(configuration.normEps)).normed
    }

    /// Mean cross-entropy in nats over the targets that are not −100, as a variable of shape [1].
    /// - Parameters:
    ///   - tokens: int32 [B, T]
    ///   - targets: int32 [B, T]: the token after each; −100 where none is wanted
    ///   - sequences: boundaries of packed sequences (B is 1 then)
    public func loss(
        _ tape: Tape, tokens: Tensor, targets: Tensor, sequences: Tensor? = nil, recompute: Bool = false
    ) throws -> Variable {
        var none: State?
        let hidden = try hidden(tape, tokens: tokens, sequences: sequences, state: &none, recompute: recompute)
        return try tape.linearCrossEntropy(hidden, weight: head, targets: targets)
    }

    /// Log-probability (nats) of each target [B, T]; 0 where the target is −100. Continues from a state if there is one.
    public func logProbabilities(
        tokens: Tensor, targets: Tensor, sequences: Tensor? = nil, state: inout State?
    ) throws -> Tensor {
        let tape = Tape(backend, recording: false)
        let hidden = try hidden(tape, tokens: tokens, sequences: sequences, state: &state)
        return try tape.logProbabilities(hidden: hidden.value, weight: head.value, targets: targets)
    }

    /// Logits [B, T, W] for tokens [B, T]; continues from a state when there is one.
    public func logits(tokens: Tensor, sequences: Tensor? = nil, state: inout State?) throws -> Tensor {
        let tape = Tape(backend, recording: false)
        let hidden = try hidden(tape, tokens: tokens, sequences: sequences, state: &state)
        return try tape.linear(hidden, head).value
    }

    /// Logits [B, W] after the last of tokens [B, T], without computing those before it.
    public func nextTokenLogits(tokens: Tensor, state: inout State?) throws -> Tensor {
        let tape = Tape(backend, recording: false)
        let hidden = try hidden(tape, tokens: tokens, state: &state)
        return try tape.linear(lastTokens(tape, hidden), head).value
    }

    /// The state before the first token, for `batch` sequences.
    public func emptyState(batch: Int = 1) throws -> State {
        State(layers: try blocks.map { try $0.mixer.emptyState(backend, batch: batch) }, batch: batch)
    }

    /// Rows [B, D] of the last token of each sequence: a look-up in the table of all rows.
    private func lastTokens(_ tape: Tape, _ hidden: Variable) throws -> Variable {
        let (batch, time, width) = (hidden.shape[0], hidden.shape[1], hidden.shape[2])
        if time == 1 { return tape.reshape(hidden, [batch, width]) }
        let rows = (0..<batch).map { Int32($0 * time + time - 1) }
        let indices = try backend.upload(rows, [batch])
        return try tape.embedding(indices, table: tape.reshape(hidden, [batch * time, width]))
    }

    private func recomputed(
        _ block: Block, _ tape: Tape, _ stream: Variable, _ pending: Variable?, _ sequences: Tensor?
    ) throws -> (Variable, Variable) {
        let outputs = try tape.recompute([stream] + (pending.map { [$0] } ?? [])) { inner, inputs in
            var none: GatedDeltaNetMixer.State?
            let (next, added) = try block.forward(
                inner, inputs[0], inputs.count > 1 ? inputs[1] : nil, sequences: sequences, state: &none)
            return [next, added]
        }
        return (outputs[0], outputs[1])
    }

    private func checkTokens(_ tokens: Tensor) throws {
        guard tokens.dtype == .int32, tokens.shape.rank == 2, tokens.count > 0 else {
            throw ShapeError(
                "language_model",
                "tokens are \(tokens.dtype.rawValue) \(tokens.shape), expected int32 [B, T] with at least one token")
        }
    }
}
