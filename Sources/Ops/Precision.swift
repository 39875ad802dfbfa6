import GDNAutograd
import GDNCPUBackend
import GDNTensor

/// bfloat16 on the CPU: an operation with a float32 form alone computes in float32 and rounds what it hands on.
extension Tape {
    /// Runs a float32 form on inputs some of which may be bfloat16.
    ///
    /// bfloat16 inputs are widened, which is exact. Where the first input, the activations, is bfloat16, outputs are
    /// rounded to it too; weights alone do not make them so. Gradients of widened inputs are rounded (a parameter's
    /// stays float32). With no bfloat16 input the form runs as it is. Integer tensors are no variables: capture them.
    /// - Parameters:
    ///   - inputs: what the form reads, in its order
    ///   - keepingFloat32: positions of outputs that stay float32 whatever the inputs are (gates, states)
    ///   - form: the operation on float32 variables; records its own backward
    /// - Returns: the outputs of the form, rounded where said.
    package func inFloat32(
        _ cpu: CPUBackend, _ inputs: [Variable], keepingFloat32: Set<Int> = [],
        _ form: ([Variable]) throws -> [Variable]
    ) rethrows -> [Variable] {
        guard inputs.contains(where: { $0.value.dtype == .bfloat16 }) else { return try form(inputs) }
        let outputs = try form(inputs.map { converted(cpu, $0, to: .float32) })
        guard inputs[0].value.dtype == .bfloat16 else { return outputs }
        return outputs.enumerated().map { index, output in
            keepingFloat32.contains(index) ? output : converted(cpu, output, to: .bfloat16)
        }
    }

    /// The variable in another floating-point dtype; its gradient comes back in the dtype it had.
    package func converted(_ cpu: CPUBackend, _ x: Variable, to dtype: DType) -> Variable {
        let own = x.value.dtype
        if own == dtype { return x }
        let gradientType = x is Parameter ? .float32 : own
        return record([x], [cpu.convert(x.value, to: dtype)]) { gradients in
            [gradients[0].map { cpu.convert($0, to: gradientType) }]
        }[0]
    }
}
