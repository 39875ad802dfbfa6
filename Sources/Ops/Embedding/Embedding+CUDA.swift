import GDNAutograd
import GDNCUDABackend
import GDNTensor

private let source = kernelSource("embedding", "Embedding/kernel.cu")

extension Tape {
    /// Rows in the backend's compute type (a bfloat16 table stays bfloat16). A token outside of the table gives NaN: the
    /// tokens are on the device and are not read back to check them. Saves the tokens by reference.
    func embeddingCUDA(_ cuda: CUDABackend, _ tokens: Tensor, _ table: Variable) throws -> Variable {
        let (vocabulary, width) = (table.shape[0], table.shape[1])
        let (count, values) = (tokens.count, table.value)
        let dtype = values.dtype == .bfloat16 ? .bfloat16 : cuda.computeType
        let kernels = try CUDAKernels(
            cuda, source, dtype, [("TABLE", values.dtype == .bfloat16 ? "bfloat16" : "float")])
        let output = try cuda.empty(Shape(tokens.shape.dims + [width]), dtype)
        try kernels.launch(
            "embedding_forward", blocks: loopBlocks(count * width), threads: 256,
            [
                .tensor(output), .tensor(tokens), .tensor(values), .long(count), .int(vocabulary), .int(width),
            ])
        let backend = backend
        return record([table], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            func addGradient(to buffer: Tensor, overwrite: Bool) throws {
                let counts = try cuda.empty([vocabulary], .int32)
                let starts = try cuda.empty([vocabulary], .int32)
                let positions = try cuda.empty([count], .int32)
                let blocks = (vocabulary + 31) / 32
                let shared: [KernelArgument] = [.tensor(starts), .tensor(tokens), .int(count), .int(vocabulary)]
                try kernels.launch(
                    "embedding_backward_sort", blocks: blocks, threads: 256,
                    [.tensor(counts), .optional(nil)] + shared)
                try kernels.launch(
                    "embedding_backward_starts", blocks: 1, threads: 1024,
                    [.tensor(starts), .tensor(counts), .int(vocabulary)])
                try kernels.launch(
                    "embedding_backward_sort", blocks: blocks, threads: 256,
                    [.tensor(counts), .tensor(positions)] + shared)
                try kernels.launch(
                    "embedding_backward", grid: (vocabulary, (width + 255) / 256), threads: 256,
                    [
                        .tensor(buffer), .tensor(upstream), .tensor(positions), .tensor(starts), .tensor(counts),
                        .int(width), .int(overwrite ? 1 : 0),
                    ])
            }
            if let parameter = table as? Parameter {
                try parameter.accumulate(on: backend, addGradient)
                return [nil]
            }
            let dTable = try cuda.empty([vocabulary, width])
            try addGradient(to: dTable, overwrite: true)
            return [dTable]
        }[0]
    }
}
