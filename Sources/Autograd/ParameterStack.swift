import GDNCUDABackend
import GDNTensor

/// Memory for matrices [outputs_i, D] that are multiplied by the same input: their bfloat16 copies one below the other,
/// their gradients too, each at a multiple of 8 rows. One product then serves all.
///
/// A parameter belongs to one stack at most, from before its first use.
package final class ParameterStack {
    /// Rows of each matrix: [outputs_i].
    package let layout: ColumnLayout
    private let width: Int
    private var halves: Tensor?
    private var gradients: Tensor?

    /// A stack of these parameters, which take their copies and gradients from it from now on.
    @discardableResult
    package init(_ parameters: [Parameter]) {
        layout = ColumnLayout(widths: parameters.map { $0.shape[0] })
        width = parameters.first?.shape[1] ?? 0
        for (index, parameter) in parameters.enumerated() {
            assert(parameter.shape[1] == width)
            parameter.join(self, at: index)
        }
    }

    /// The bfloat16 copies [layout.count, D], zeros between them. What they hold is up to the parameters.
    package func halves(on cuda: CUDABackend) throws -> Tensor {
        let tensor = try halves ?? cuda.zeros([layout.count, width], .bfloat16)
        halves = tensor
        return tensor
    }

    /// The gradients [layout.count, D], float32.
    package func gradients(on cuda: CUDABackend) throws -> Tensor {
        let tensor = try gradients ?? cuda.zeros([layout.count, width])
        gradients = tensor
        return tensor
    }
}
