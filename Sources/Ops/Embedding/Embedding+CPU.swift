import GDNAutograd
import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

extension Tape {
    /// Saves the tokens by reference. The backward adds rows in the order of the tokens; threads own channels, so the
    /// sums do not depend on their number.
    func embeddingCPU(_ cpu: CPUBackend, _ tokens: Tensor, _ table: Variable) throws -> Variable {
        let (vocabulary, width) = (table.shape[0], table.shape[1])
        let (count, values) = (tokens.count, table.value)
        for index in 0..<count where tokens.int32s[index] < 0 || Int(tokens.int32s[index]) >= vocabulary {
            throw ShapeError(
                "embedding",
                "token \(index) is \(tokens.int32s[index]), expected 0..<\(vocabulary), the rows of the table")
        }
        let output = cpu.empty(Shape(tokens.shape.dims + [width]))
        cpu.parallel(count, grain: max(1, 16_384 / max(1, width))) { range in
            for row in range {
                let (to, token) = (output.floats + row * width, Int(tokens.int32s[row]))
                if values.dtype == .bfloat16 {
                    gdn_bf16_to_f32(to, values.bfloat16Bits + token * width, width)
                } else {
                    to.update(from: values.floats + token * width, count: width)
                }
            }
        }
        let backend = backend
        return record([table], [output]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            func addGradient(to buffer: Tensor, overwrite: Bool) {
                let piece = 32
                cpu.parallel((width + piece - 1) / piece) { index in
                    let start = index * piece
                    gdn_embedding_backward(
                        buffer.floats, upstream.floats, tokens.int32s, count, overwrite ? vocabulary : 0, width, start,
                        min(width, start + piece))
                }
            }
            if let parameter = table as? Parameter {
                try parameter.accumulate(on: backend, addGradient)
                return [nil]
            }
            let dTable = cpu.empty([vocabulary, width])
            addGradient(to: dTable, overwrite: true)
            return [cpu.convert(dTable, to: values.dtype)]
        }[0]
    }
}
