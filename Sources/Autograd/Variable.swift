import GDNTensor

/// A tensor in a computation, and the place where its gradient gathers.
///
/// Used by one thread at a time, like the tape that it lives on.
public class Variable {
    /// The value.
    public internal(set) var value: Tensor
    /// Whether a backward pass computes a gradient for it.
    public let requiresGradient: Bool
    /// Gradient gathered so far in this backward pass; nil means zero.
    public internal(set) var gradient: Tensor?

    /// A variable holding `value`.
    public init(_ value: Tensor, requiresGradient: Bool = false) {
        self.value = value
        self.requiresGradient = requiresGradient
    }

    /// The value's shape.
    public var shape: Shape { value.shape }
}

/// A trainable tensor. Its gradient is a float32 buffer that lives from step to step and gathers over
/// backward passes until `clearGradient()`.
public final class Parameter: Variable {
    /// Name in the checkpoint, e.g. `model.layers.0.attn.q_proj.weight`.
    public let name: String
    /// Whether weight decay applies (matrices yes; norms, gates, convolutions no).
    public let decays: Bool
    /// Whether the gradient buffer holds anything.
    public private(set) var hasGradient = false
    private var buffer: Tensor?

    /// A parameter with its name and first value.
    public init(_ name: String, _ value: Tensor, decays: Bool) {
        self.name = name
        self.decays = decays
        super.init(value, requiresGradient: true)
    }

    /// Replaces the value (a loaded weight). Shape must stay.
    package func replaceValue(_ value: Tensor) {
        assert(value.shape == self.value.shape)
        self.value = value
    }

    /// The gathered gradient, or nil when there is none.
    package var gatheredGradient: Tensor? { hasGradient ? buffer : nil }

    /// Forgets the gradient and keeps its memory.
    package func clearGradient() {
        hasGradient = false
    }

    /// Lets `write` add to the gradient buffer in place.
    ///
    /// `write` receives the float32 buffer and whether it must overwrite (first contribution) or add.
    package func accumulate(on backend: Backend, _ write: (_ buffer: Tensor, _ overwrite: Bool) throws -> Void) throws {
        let target = try buffer ?? backend.zeros(shape)
        buffer = target
        try write(target, !hasGradient)
        hasGradient = true
    }
}
