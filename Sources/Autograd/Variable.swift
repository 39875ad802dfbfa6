import GDNCUDABackend
import GDNTensor

/// Where the gradient of a variable gathers. The tape holds on to this alone, so that a value lives only as long as
/// somebody needs it.
final class GradientSlot {
    var gradient: Tensor?
}

/// A tensor in a computation, and the place where its gradient gathers.
///
/// Used by one thread at a time, like the tape that it lives on.
public class Variable {
    /// The value.
    public internal(set) var value: Tensor
    /// Whether a backward pass computes a gradient for it.
    public let requiresGradient: Bool
    /// Gradient gathered so far in this backward pass; nil means zero.
    public internal(set) var gradient: Tensor? {
        get { slot.gradient }
        set { slot.gradient = newValue }
    }
    /// Computes the value again from tensors that a backward keeps anyway; nil where that is not cheap. An operation
    /// that needs this variable in its backward then keeps the closure in place of the value.
    package var recomputed: (() throws -> Tensor)?
    let slot = GradientSlot()

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
    private var halves: Tensor?
    private var halvesAreCurrent = false
    /// Where copy and gradient lie beside others', and the place among these.
    package private(set) var stack: (memory: ParameterStack, index: Int)?

    /// A parameter with its name and first value.
    public init(_ name: String, _ value: Tensor, decays: Bool) {
        self.name = name
        self.decays = decays
        super.init(value, requiresGradient: true)
    }

    func join(_ memory: ParameterStack, at index: Int) {
        assert(stack == nil && halves == nil && buffer == nil)
        stack = (memory, index)
    }

    /// Replaces the value (a loaded weight). Shape must stay.
    package func replaceValue(_ value: Tensor) {
        assert(value.shape == self.value.shape)
        self.value = value
        halvesAreCurrent = false
    }

    /// The value rounded to bfloat16, kept beside it: converted when the value has changed since.
    package func bfloat16Copy(on cuda: CUDABackend) throws -> Tensor {
        if value.dtype == .bfloat16 { return value }
        let copy =
            try halves ?? stack.map { $0.memory.layout.rows(try $0.memory.halves(on: cuda), $0.index) }
            ?? cuda.empty(shape, .bfloat16)
        halves = copy
        if !halvesAreCurrent { try cuda.convert(value, into: copy) }
        halvesAreCurrent = true
        return copy
    }

    /// The rounded copy if there is one. Whoever writes to the value in place on a GPU writes to it too.
    package var existingBFloat16Copy: Tensor? { halves }

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
        let target = try buffer ?? newBuffer(on: backend)
        buffer = target
        try write(target, !hasGradient)
        hasGradient = true
    }

    private func newBuffer(on backend: Backend) throws -> Tensor {
        guard let stack, case .cuda(let cuda) = backend else { return try backend.zeros(shape) }
        return stack.memory.layout.rows(try stack.memory.gradients(on: cuda), stack.index)
    }
}
