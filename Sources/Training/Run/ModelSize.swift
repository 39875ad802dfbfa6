/// What a model takes, from its configuration alone: parameters by part and memory of training.
import GDNModels

/// Sizes of a model in training. Nothing is allocated.
package struct ModelSize {
    /// Parameters by part, in the order of the forward pass.
    package var parts: [ModelConfiguration.Part] { configuration.parts }
    private let configuration: ModelConfiguration

    /// The sizes of a configuration.
    package init(_ model: ModelConfiguration) {
        configuration = model
    }

    /// All parameters.
    package var parameters: Int { configuration.parameterCount }

    /// Bytes of weights, gradients and the two moments, float32 each.
    package var stateBytes: Int { 16 * parameters }

    /// Bytes that one micro-batch takes at most, about.
    ///
    /// Per token and block: the two norms' inputs and outputs and the sum (5 D), projections, convolutions, norms and
    /// the rule's values (8 H·K + 6 HV·V), the MLP's halves, product and a gradient (4 F). With recomputation two
    /// streams (2 D) a block, and one block in full.
    package func activationBytes(tokens: Int, recompute: Bool) -> Int {
        let width = configuration.hiddenSize
        let block =
            5 * width + 8 * configuration.keyWidth + 6 * configuration.valueWidth
            + 4 * configuration.resolvedIntermediateSize
        let blocks = recompute ? configuration.layers * 2 * width + block : configuration.layers * block
        return 4 * tokens * (blocks + 4 * width)
    }
}
