import GDNAutograd
import GDNData
import GDNOps
import GDNTensor

/// A batch on a device, in the shape the model takes.
package struct BatchTensors {
    /// int32 [B, T], or [1, B · T] where `sequences` is set.
    package let tokens: Tensor
    /// Targets, shaped as the tokens.
    package let targets: Tensor
    /// Boundaries of packed sequences; nil when every row is one sequence.
    package let sequences: Tensor?

    /// Copies a batch to the backend's device.
    package init(_ batch: Batch, on backend: Backend) throws {
        let shape: Shape = batch.sequences == nil ? [batch.rows, batch.length] : [1, batch.rows * batch.length]
        tokens = try backend.upload(batch.tokens, shape)
        targets = try backend.upload(batch.targets, shape)
        sequences = try batch.sequences.map { try backend.upload($0, [$0.count]) }
    }
}
