import GDNAutograd
import GDNTensor

/// How large an error may be: RMS(error) / RMS(reference), for outputs and for gradients.
package struct Budget: Sendable {
    /// Outputs.
    package var forward: Double
    /// Gradients.
    package var gradient: Double
    /// Gradients of gates and write strengths, where rounding weighs more.
    package var gateGradient: Double

    /// Plain float32 arithmetic in the reference's order.
    package static let float32 = Budget(forward: 2e-6, gradient: 2e-6, gateGradient: 3e-5)
    /// float32 arithmetic regrouped (chunks, blocked sums).
    package static let float32Reassociated = Budget(forward: 1e-5, gradient: 1e-5, gateGradient: 3e-5)
    /// bfloat16 tensors, float32 sums.
    package static let bfloat16 = Budget(forward: 5e-3, gradient: 8e-3, gateGradient: 2e-2)
    /// float32 tensors whose matrix products round their operands to TF32.
    package static let tf32 = Budget(forward: 2e-3, gradient: 5e-3, gateGradient: 5e-3)
}

/// One test case of one operation, as data: the same cases serve the tests, `gdn check` and `gdn bench ops`.
package struct OperationCase: Sendable {
    /// An argument of the operation.
    package struct Input: Sendable {
        /// Name in tables and messages.
        package var name: String
        /// Extents.
        package var shape: Shape
        /// `.int32` for tokens and boundaries, `.float32` for numbers.
        package var dtype: DType = .float32
        /// Whether a gradient is computed and checked.
        package var differentiable = true
        /// Whether it stays float32 when the case runs in bfloat16 (gates, states, norm weights).
        package var alwaysFloat32 = false
        /// Whether its gradient is judged by `Budget.gateGradient`.
        package var isGate = false
        /// The elements, where they are given and not drawn.
        package var values: [Double]?
        /// Draws one element.
        package var draw: @Sendable (inout Random) -> Double

        /// An argument with normally distributed elements of this standard deviation.
        package static func normal(_ name: String, _ shape: Shape, scale: Double = 1, mean: Double = 0) -> Input {
            Input(name: name, shape: shape, draw: { mean + scale * $0.normal() })
        }

        /// An argument with these integers in turn; not differentiable.
        package static func integers(_ name: String, _ values: [Int]) -> Input {
            Input(
                name: name, shape: [values.count], dtype: .int32, differentiable: false,
                values: values.map(Double.init),
                draw: { _ in 0 })
        }

        /// The argument's tensor on a device: int32 where it is integers, else of `dtype`.
        package func tensor(_ array: ReferenceArray<Float>, on backend: Backend, _ dtype: DType = .float32) throws
            -> Tensor
        {
            self.dtype == .int32
                ? try backend.upload(array.values.map { Int32($0) }, shape)
                : try backend.upload(array.values, shape, dtype)
        }

        /// A copy with other properties.
        package func with(differentiable: Bool? = nil, alwaysFloat32: Bool? = nil, isGate: Bool? = nil) -> Input {
            var copy = self
            if let differentiable { copy.differentiable = differentiable }
            if let alwaysFloat32 { copy.alwaysFloat32 = alwaysFloat32 }
            if let isGate { copy.isGate = isGate }
            return copy
        }
    }

    /// Operation in snake case, e.g. `rms_norm`.
    package var operation: String
    /// Case, e.g. `ragged_T63`.
    package var name: String
    /// Arguments in order.
    package var inputs: [Input]
    /// Names of the outputs in order.
    package var outputs: [String]
    /// Error budget in float32.
    package var budget: Budget
    /// Error budget in bfloat16; nil where the operation has no bfloat16 form.
    package var bfloat16Budget: Budget? = .bfloat16
    /// Judged by comparison with a plain evaluation in float32 alone: at most twice its error (gradients: three times).
    package var illConditioned = false
    /// The same in bfloat16: judged by comparison with a plain evaluation whose operands are rounded to bfloat16.
    package var illConditionedInBFloat16 = false
    /// Whether it computes by the backend's matrix products, which TF32 makes less exact where it is allowed.
    package var hasMatrixProducts = false
    /// Small enough for finite differences of the reference.
    package var tiny = false
    /// Floating-point operations of one forward.
    package var flops: Double
    /// Bytes of one forward at least (each input read once, each output written once), in float32.
    package var bytes: Double
    /// The oracle.
    package var reference: any OperationReference
    /// The operation itself.
    package var run: @Sendable (Tape, [Variable]) throws -> [Variable]

    /// Whether `gdn bench ops` times it: the cases of a training step's size.
    package var isBenchmark: Bool { name.hasPrefix("training") }

    /// `operation/name`, as `gdn check --op` takes it.
    package var identifier: String { "\(operation)/\(name)" }
}

extension Tape {
    /// Variables as a common product leaves its results: beside each other, after columns that nobody reads. (On a CPU
    /// results stay apart.)
    func amongOthers(_ variables: [Variable]) throws -> [Columns] {
        let other = try backend.zeros(Shape(variables[0].shape.dims.dropLast() + [5]), variables[0].value.dtype)
        return Array(try sideBySide([Variable(other)] + variables).dropFirst())
    }
}
