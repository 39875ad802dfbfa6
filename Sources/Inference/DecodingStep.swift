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

    /// Records the step.
    /// - Parameter state: goes on from it and writes to its tensors, which must belong to nobody else
    package init(_ model: LanguageModel, on cuda: CUDABackend, state: LanguageModel.State) throws {
        self.model = model
        self.cuda = cuda
        self.state = state.updatedInPlace()
        let tokens = try cuda.zeros([state.batch, 1], .int32)
        // Loads every kernel and sets up every product, which a recording must not do.
        var scratch: LanguageModel.State? = try model.emptyState(batch: state.batch).updatedInPlace()
        let output = try model.nextTokenLogits(tokens: tokens, state: &scratch)
        var recorded: LanguageModel.State? = self.state
        graph = try cuda.capture {
            try cuda.copy(model.nextTokenLogits(tokens: tokens, state: &recorded), into: output)
        }
        (self.tokens, self.output) = (tokens, output)
    }

    /// Logits [B, W] after one more token of every sequence; overwritten by the next call.
    package func logits(after next: [Int32]) throws -> Tensor {
        try cuda.upload(Tensor(host: next, tokens.shape), into: tokens)
        try graph.launch()
        return output
    }
}
