import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("gated_rms_norm", "GatedRMSNorm/kernel.cu")

extension Tape {
    /// Saves x and the gate, which may lie beside other results, by reference, and one float a row and group; the result can be computed again from these.
    func gatedRMSNormCUDA(
        _ cuda: CUDABackend, _ x: Variable, gate: Columns, weight: Variable, eps: Float, activation: GateActivation,
        order: GatedNormOrder, groups: Int
    ) throws -> Variable {
        let (input, z, rows) = (x.value, gate.argument, x.shape.rows)
        // Rows of x that lie in one of the gate, and how far its rows are apart.
        let gateExtents: [KernelArgument] = [.int(gate.width / x.shape[-1]), .int(gate.pitch)]
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
                [.tensor(output), .tensor(inverse), .tensor(input), z, .tensor(scale), .float(eps), .long(rows)]
                    + gateExtents)
            return output
        }
        let result = record([x, gate.rows, weight], [try forward()]) { gradients in
            guard let upstream = gradients[0] else { return [nil, nil, nil] }
            let dx = try cuda.empty(input.shape, input.dtype)
            let dGate = try gate.gradient(on: cuda)
            let blocks = geometry.summingBlocks(rows)
            let partial = try cuda.empty([blocks, input.shape[-1]])
            try kernels.launch(
                "gated_rms_norm_backward", grid: (blocks, groups), threads: geometry.threads,
                shared: geometry.summingBytes,
                [
                    .tensor(dx), dGate.argument, .tensor(partial), .tensor(upstream), .tensor(input), z,
                    .tensor(inverse), .tensor(scale), .long(rows),
                ] + gateExtents)
            return [dx, dGate.forTape, try cuda.sumRows(partial)]
        }[0]
        if needsBackward([x, gate.rows, weight]) { result.recomputed = forward }
        return result
    }
}
