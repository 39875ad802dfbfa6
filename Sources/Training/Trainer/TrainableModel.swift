/// What the trainer asks of a model.
import GDNAutograd
import GDNTensor

/// A model that can be trained: parameters and a loss. The trainer knows nothing else of it.
package protocol TrainableModel: AnyObject {
    /// Where it lives.
    var backend: Backend { get }
    /// Its trainable tensors in a fixed order, under their checkpoint names.
    var parameters: [Parameter] { get }
    /// Multiplications and additions of forward and backward for one token.
    var trainingFLOPsPerToken: Double { get }
    /// Mean cross-entropy in nats over the wanted targets, a variable of shape [1].
    /// - Parameters:
    ///   - tokens: int32 [B, T];  targets: int32 [B, T], −100 where none is wanted
    ///   - sequences: boundaries [N + 1] of packed sequences (then B is 1)
    ///   - recompute: compute blocks twice to save memory
    func loss(_ tape: Tape, tokens: Tensor, targets: Tensor, sequences: Tensor?, recompute: Bool) throws -> Variable
}
