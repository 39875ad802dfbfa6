import GDNCUDABackend
import GDNModels
import GDNTensor

/// One token of every sequence on a GPU, recorded once as a graph and launched as one.
package final class DecodingStep {
    private let model: LanguageModel
    private let cuda: CUDABackend
    private let tokens: Tensor
    private let output: Tensor
    private let graph: Graph
    /// Kept alive for the graph, which writes to it.
    private let state: LanguageModel.State
    /// Kept alive for the graph, which works in its memory; nil where the step is made of operations.
    private let decoder: FusedDecoder?

    /// Records the step.
    /// - Parameters:
    ///   - state: goes on from it and writes to its tensors, which must belong to nobody else
    ///   - form: which kernels; fused ones where the model's shape has them
    package init(
        _ model: LanguageModel, on cuda: CUDABackend, state: LanguageModel.State, form: DecodingForm = .fused
    ) throws {
        self.model = model
        self.cuda = cuda
        self.state = state.updatedInPlace()
        let tokens = try cuda.zeros([state.batch, 1], .int32)
        // The first step loads every kernel and sets up every product, which a recording must not do.
        let scratchState = try model.emptyState(batch: state.batch).updatedInPlace()
        if form == .fused, let decoder = try FusedDecoder(model, on: cuda, batch: state.batch) {
            try decoder.step(tokens, scratchState)
            let own = self.state
            graph = try cuda.capture { try decoder.step(tokens, own) }
            (self.decoder, output) = (decoder, decoder.logits)
        } else {
            var scratch: LanguageModel.State? = scratchState
            let output = try model.nextTokenLogits(tokens: tokens, state: &scratch)
            var recorded: LanguageModel.State? = self.state
            graph = try cuda.capture {
                try cuda.copy(model.nextTokenLogits(tokens: tokens, state: &recorded), into: output)
            }
            (decoder, self.output) = (nil, output)
        }
        self.tokens = tokens
    }

    /// Whether the kernels are fused ones.
    package var isFused: Bool { decoder != nil }

    /// Logits [B, W] after one more token of every sequence; overwritten by the next call.
    package func logits(after next: [Int32]) throws -> Tensor {
        try cuda.upload(Tensor(host: next, tokens.shape), into: tokens)
        try launch()
        return output
    }

    /// One more token, the same as the last.
    package func launch() throws { try graph.launch() }
}

/// Which kernels a GPU takes for one token of every sequence. Both give the same numbers but for rounding.
public enum DecodingForm: String, Sendable, CaseIterable {
    /// Those of the operations, about 24 a block.
    case operations
    /// Five a block for a few sequences, nine to eleven for more, where the model's shape allows it.
    case fused
}
