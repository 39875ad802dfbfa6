import GDNAutograd
import GDNTensor

/// What stays the same from step to step of AdamW; the learning rate does not.
public struct AdamWConfiguration: Sendable, Codable, Equatable {
    /// Decay of the first moment, in [0, 1).
    public var beta1: Double
    /// Decay of the second moment, in [0, 1).
    public var beta2: Double
    /// Added to the root of the second moment, > 0.
    public var eps: Double
    /// Share of a parameter taken away a step, times the learning rate; only where the slot decays.
    public var weightDecay: Double

    /// Betas 0.9 and 0.95, eps 1e-8, decay 0.1: the paper's settings.
    public init(beta1: Double = 0.9, beta2: Double = 0.95, eps: Double = 1e-8, weightDecay: Double = 0.1) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.eps = eps
        self.weightDecay = weightDecay
    }
}

/// One tensor that AdamW updates, with its gradient and its state. All four are float32 of one shape.
public struct AdamWSlot: Sendable {
    /// The parameter, updated in place.
    public let value: Tensor
    /// Its gradient, read only.
    public let gradient: Tensor
    /// Running mean of the gradient; zeros before the first step.
    public let firstMoment: Tensor
    /// Running mean of its square; zeros before the first step.
    public let secondMoment: Tensor
    /// Whether weight decay applies.
    public let decays: Bool
    /// The parameter rounded to bfloat16, written with it on a GPU; nil where there is none.
    let copy: Tensor?

    /// A slot of these tensors.
    public init(value: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, decays: Bool) {
        self.init(
            value: value, gradient: gradient, firstMoment: firstMoment, secondMoment: secondMoment, decays: decays,
            copy: nil)
    }

    private init(
        value: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, decays: Bool, copy: Tensor?
    ) {
        self.copy = copy
        self.value = value
        self.gradient = gradient
        self.firstMoment = firstMoment
        self.secondMoment = secondMoment
        self.decays = decays
    }

    /// The slot of a parameter, or nil where no gradient was gathered: such a parameter stays as it is.
    public init?(_ parameter: Parameter, firstMoment: Tensor, secondMoment: Tensor) {
        guard let gradient = parameter.gatheredGradient else { return nil }
        self.init(
            value: parameter.value, gradient: gradient, firstMoment: firstMoment, secondMoment: secondMoment,
            decays: parameter.decays, copy: parameter.existingBFloat16Copy)
    }
}

/// One step of AdamW on all slots in one pass over memory: decoupled weight decay, corrected moments.
///
/// - Parameters:
///   - slots: what to update; parameters and moments are written in place
///   - backend: where the tensors live
///   - learningRate: of this step
///   - step: number of this step, counted from 1
///   - gradientScale: every gradient is multiplied by it first (clipping, accumulation, loss scale)
///   - configuration: betas, eps, weight decay
/// - Throws: `ShapeError` when a slot's tensors differ in shape or are not float32, or `step` is below 1.
/// - Source: Loshchilov and Hutter 2019, algorithm 2, with decay scaled by the learning rate as in PyTorch.
public func adamWStep(
    slots: [AdamWSlot], on backend: Backend, learningRate: Double, step: Int, gradientScale: Double = 1,
    configuration: AdamWConfiguration = AdamWConfiguration()
) throws {
    guard step >= 1 else { throw ShapeError("adamw", "step is \(step), expected 1 or more") }
    for (index, slot) in slots.enumerated() {
        let tensors = [
            ("value", slot.value), ("gradient", slot.gradient), ("firstMoment", slot.firstMoment),
            ("secondMoment", slot.secondMoment),
        ]
        for (name, tensor) in tensors {
            try tensor.require("adamw", "\(name) of slot \(index)", shape: slot.value.shape, dtype: .float32)
        }
    }
    switch backend {
    case .cpu(let cpu):
        adamWStepCPU(
            cpu, slots, learningRate: learningRate, step: step, gradientScale: gradientScale,
            configuration: configuration)
    case .cuda(let cuda):
        try adamWStepCUDA(
            cuda, slots, learningRate: learningRate, step: step, gradientScale: gradientScale,
            configuration: configuration)
    }
}
