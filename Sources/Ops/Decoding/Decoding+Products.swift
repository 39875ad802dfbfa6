import GDNTensor

/// A way of multiplying by the weights of a block: the kernels before and behind the step of the recurrence.
protocol DecodingProducts: AnyObject {
    /// Whether a block's projections are read one below the other, as one matrix.
    var readsPacked: Bool { get }

    /// Begins a token.
    func begin()
    /// The projections of the stream's norm, q, k and v convolved, into `DecodingWork.mixed`.
    func project(_ block: DecodingChain.Block, windows: [Tensor]) throws
    /// Norm, gate and projection of the heads, added to the stream.
    func output(_ block: DecodingChain.Block) throws
    /// The MLP, added to the stream.
    func feedForward(_ block: DecodingChain.Block) throws
    /// Logits from the stream.
    func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws
    /// Completes the stream after the last block, where nothing else reads it.
    func finish(_ block: DecodingChain.Block) throws
}

extension DecodingProducts {
    func begin() {}
    func finish(_ block: DecodingChain.Block) throws {}
}
