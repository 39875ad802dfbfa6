import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("rms_norm", "RMSNorm/kernel.cu")

/// RMS normalisation on a GPU. Saves what is normalised (a sum: the residual stream itself) and one float a row; the
/// result can be computed again from these.
struct RMSNormCUDA {
    let cuda: CUDABackend
    let eps: Float
    let offset: Float

    /// `rmsNorm(x)`, or with `residual` the sum and its norm.
    func record(on tape: Tape, _ x: Variable, residual: Variable?, weight: Variable) throws -> [Variable] {
        let rows = x.shape.rows
        let geometry = RowGeometry(width: x.shape[-1], dtype: x.value.dtype)
        let kernels = try CUDAKernels(cuda, source, x.value.dtype, geometry.defines)
        let scale = try cuda.convert(weight.value, to: .float32)
        let output = try cuda.empty(x.shape, x.value.dtype)
        let sum = try residual.map { _ in try cuda.empty(x.shape, x.value.dtype) }
        let inverse = try cuda.empty([rows])
        try kernels.launch(
            "rms_norm_forward", blocks: geometry.blocks(rows), threads: geometry.threads,
            [
                .tensor(output), .optional(sum), .tensor(inverse), .tensor(x.value), .optional(residual?.value),
                .tensor(scale), .float(offset), .float(eps), .long(rows),
            ])
        let input = sum ?? x.value
        let inputs = [x] + [residual].compactMap { $0 } + [weight]
        let again: () throws -> Tensor = { [cuda, offset, eps] in
            let output = try cuda.empty(input.shape, input.dtype)
            try kernels.launch(
                "rms_norm_forward", blocks: geometry.blocks(rows), threads: geometry.threads,
                [
                    .tensor(output), .optional(nil), .tensor(inverse), .tensor(input), .optional(nil), .tensor(scale),
                    .float(offset), .float(eps), .long(rows),
                ])
            return output
        }
        let results = tape.record(inputs, [sum, output].compactMap { $0 }) { gradients in
            let direct = sum == nil ? nil : gradients[0]
            guard let upstream = gradients[gradients.count - 1] else { return [direct, direct, nil] }
            let dx = try cuda.empty(input.shape, input.dtype)
            let blocks = geometry.summingBlocks(rows)
            let partial = try cuda.empty([blocks, geometry.width])
            try kernels.launch(
                "rms_norm_backward", blocks: blocks, threads: geometry.threads, shared: geometry.summingBytes,
                [
                    .tensor(dx), .tensor(partial), .tensor(upstream), .optional(direct), .tensor(input),
                    .tensor(inverse), .tensor(scale), .float(offset), .long(rows),
                ])
            let dWeight = try cuda.sumRows(partial)
            return sum == nil ? [dx, dWeight] : [dx, dx, dWeight]
        }
        if tape.needsBackward(inputs) { results[results.count - 1].recomputed = again }
        return results
    }
}
