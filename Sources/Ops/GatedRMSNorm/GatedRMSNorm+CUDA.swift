import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gated_rms_norm", "GatedRMSNorm/kernel.cu")

extension Tape {
    /// Saves x and the gate by reference and one float a row and group; the result can be computed again from these.
    func gatedRMSNormCUDA(
        _ cuda: CUDABackend, _ x: Variable, gate: Variable, weight: Variable, eps: Float, activation: GateActivation,
        order: GatedNormOrder, groups: Int
    ) throws -> Variable {
        let (input, z, rows) = (x.value, gate.value, x.shape.rows)
        let geometry = RowGeometry(width: x.shape[-1] / groups, dtype: input.dtype)
        let kernels = try CUDAKernels(
            cuda, source, input.dtype,
            geometry.defines + [
                ("SIGMOID", activation == .sigmoid ? "1" : "0"), ("GATE_FIRST", order == .gateThenNorm ? "1" : "0"),
            ])
        let scale = try cuda.convert(weight.value, to: .float32)
        let inverse = try cuda.empty([rows, groups])
        let forward: () throws -> Tensor = {
            let output = try cuda.empty(input.shape, input.dtype)
            try kernels.launch(
                "gated_rms_norm_forward", grid: (geometry.blocks(rows), groups), threads: geometry.threads,
                [
                    .tensor(output), .tensor(inverse), .tensor(input), .tensor(z), .tensor(scale), .float(eps),
                    .long(rows),
                ])
            return output
        }
        let result = record([x, gate, weight], [try forward()]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil, nil] }
            let dx = try cuda.empty(input.shape, input.dtype)
            let dGate = try cuda.empty(input.shape, input.dtype)
            let blocks = geometry.summingBlocks(rows)
            let partial = try cuda.empty([blocks, input.shape[-1]])
            try kernels.launch(
                "gated_rms_norm_backward", grid: (blocks, groups), threads: geometry.threads,
                shared: geometry.summingBytes,
                [
                    .tensor(dx), .tensor(dGate), .tensor(partial), .tensor(upstream), .tensor(input), .tensor(z),
                    .tensor(inverse), .tensor(scale), .long(rows),
                ])
            return [dx, dGate, try cuda.sumRows(partial)]
        }[0]
        if needsBackward([x, gate, weight]) { result.recomputed = forward }
        return result
    }
}
