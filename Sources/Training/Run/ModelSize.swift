/// What a model takes, from its configuration alone: parameters by part and memory of training.
import GDNModels

/// Sizes of a model in training. Nothing is allocated.
package struct ModelSize {
    /// Parameters by part, in the order of the forward pass.
    package let parts: [(name: String, count: Int)]
    private let configuration: ModelConfiguration

    /// The sizes of a configuration.
    package init(_ model: ModelConfiguration) {
        configuration = model
        let (width, keys, values) = (model.hiddenSize, model.keyWidth, model.valueWidth)
        let heads = model.resolvedValueHeads
        var mixer = width * (2 * keys + 2 * values)
        if model.useGate { mixer += width * values }
        if model.useDecay { mixer += width * heads + 2 * heads }
        if model.useBeta { mixer += width * heads }
        if model.useShortConvolution { mixer += model.convolutionSize * (2 * keys + values) }
        if model.useOutputNorm { mixer += model.valueDim }
        let table = model.vocabularySize * width
        parts = [
            ("embeddings", table), ("mixers", model.layers * mixer),
            ("MLPs", model.layers * 3 * width * model.resolvedIntermediateSize),
            ("norms", (2 * model.layers + 1) * width), ("head", model.tieWordEmbeddings ? 0 : table),
        ]
    }

    /// All parameters.
    package var parameters: Int { parts.reduce(0) { $0 + $1.count } }

    /// Bytes of weights, gradients and the two moments, float32 each.
    package var stateBytes: Int { 16 * parameters }

    /// Bytes kept for the backward of one micro-batch, about.
    ///
    /// Per token and block: the two norms' inputs and outputs and the sum (5 D), projections, convolutions, norms and
    /// the rule's values (7 H·K + 6 HV·V), the MLP's halves and product (3 F). With recomputation two streams (2 D) a
    /// block, and one block in full.
    package func activationBytes(tokens: Int, recompute: Bool) -> Int {
        let width = configuration.hiddenSize
        let block =
            5 * width + 7 * configuration.keyWidth + 6 * configuration.valueWidth
            + 3 * configuration.resolvedIntermediateSize
        let blocks = recompute ? configuration.layers * 2 * width + block : configuration.layers * block
        return 4 * tokens * (blocks + 4 * width)
    }
}
