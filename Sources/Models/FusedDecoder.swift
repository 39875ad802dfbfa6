import GDNAutograd
import GDNCUDABackend
import GDNOps
import GDNTensor

/// One token of every sequence on a GPU by fused kernels: the whole model as one chain, without allocations.
package final class FusedDecoder {
    private let chain: DecodingChain
    private let blocks: [DecodingChain.Block]
    private let embeddings: Variable
    private let finalNorm, head: Tensor
    private let eps: Float
    /// Logits [B, W] after the last step, float32.
    package let logits: Tensor

    /// A decoder for a batch; nil where the model's shape has no fused kernels.
    package init?(_ model: LanguageModel, on cuda: CUDABackend, batch: Int) throws {
        let configuration = model.configuration
        let dtype = cuda.computeType
        guard
            let chain = try DecodingChain(
                cuda, GatedDeltaNetMixer.decodingOptions(configuration), batch: batch,
                width: configuration.hiddenSize, mlpWidth: configuration.resolvedIntermediateSize, dtype: dtype)
        else { return nil }
        self.chain = chain
        blocks = try model.blocks.map { try chain.block($0.decodingWeights) }
        embeddings = model.embeddings
        finalNorm = try cuda.convert(model.finalNorm.value, to: .float32)
        head = try chain.matrix(model.head)
        eps = Float(configuration.normEps)
        logits = try cuda.empty([batch, configuration.vocabularySize])
    }

    /// Writes the logits after one more token [B, 1] of every sequence, and replaces the states in their tensors.
    package func step(_ tokens: Tensor, _ state: LanguageModel.State) throws {
        chain.begin()
        try chain.embed(tokens, table: embeddings)
        for (block, layer) in zip(blocks, state.layers) { try chain.run(block, layer.decodingState) }
        try chain.head(logits, norm: finalNorm, weight: head, eps: eps)
    }
}
