/// AdamW over a model's parameters: its moments, its count of updates, clipping.
import GDNAutograd
import GDNOps
import GDNTensor

/// The optimiser of a run.
///
/// Weight decay applies to the parameters that say so (`Parameter.decays`): matrices and embeddings, not norms,
/// vectors, gates or convolutions.
package final class Optimizer {
    /// Betas, eps and decay.
    package let configuration: AdamWConfiguration
    /// Largest global gradient norm; nil = no clipping.
    package let clip: Double?
    /// Updates made so far; it corrects the moments' bias and does not count skipped steps.
    package private(set) var updates = 0
    /// Running means of the gradients, in the order of the parameters, float32.
    package private(set) var firstMoments: [Tensor]
    /// Running means of their squares.
    package private(set) var secondMoments: [Tensor]
    private let parameters: [Parameter]
    private let backend: Backend

    /// An optimiser whose moments are zero.
    package init(_ parameters: [Parameter], on backend: Backend, configuration: AdamWConfiguration, clip: Double?)
        throws
    {
        self.parameters = parameters
        self.backend = backend
        self.configuration = configuration
        self.clip = clip
        firstMoments = try parameters.map { try backend.zeros($0.shape) }
        secondMoments = try parameters.map { try backend.zeros($0.shape) }
    }

    /// Updates the parameters from their gathered gradients, and clears these.
    /// - Parameters:
    ///   - learningRate: of this update
    ///   - gradientScale: what the gathered gradients are to be multiplied by
    /// - Returns: the global norm of the scaled gradients before clipping. When it is not finite nothing was updated.
    package func step(learningRate: Double, gradientScale: Double) throws -> Double {
        defer { clearGradients() }
        let norm = try globalNorm(parameters.compactMap(\.gatheredGradient), on: backend) * gradientScale
        guard norm.isFinite else { return norm }
        let coefficient = clip.map { clipCoefficient(norm: norm, maximum: $0) } ?? 1
        let slots = parameters.indices.compactMap {
            AdamWSlot(parameters[$0], firstMoment: firstMoments[$0], secondMoment: secondMoments[$0])
        }
        try adamWStep(
            slots: slots, on: backend, learningRate: learningRate, step: updates + 1,
            gradientScale: gradientScale * coefficient, configuration: configuration)
        updates += 1
        return norm
    }

    /// Forgets gathered gradients.
    package func clearGradients() {
        for parameter in parameters { parameter.clearGradient() }
    }

    /// Replaces parts of the state by stored ones; nil leaves a part as it is.
    package func restore(first: [Tensor]? = nil, second: [Tensor]? = nil, updates: Int? = nil) {
        if let first { firstMoments = first }
        if let second { secondMoments = second }
        if let updates { self.updates = updates }
    }
}
