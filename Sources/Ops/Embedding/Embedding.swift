import GDNAutograd
import GDNTensor

extension Tape {
    /// The rows of a table that belong to tokens: `y_t = table[token_t]`.
    ///
    /// A head tied to the embedding shares its `Parameter`: both add to the same gradient buffer.
    /// - Parameters:
    ///   - tokens: int32, any shape, each in 0..<W
    ///   - table: [W, D]
    /// - Returns: [tokens..., D]; on the CPU always float32 (a bfloat16 table is widened row by row).
    /// - Throws: `ShapeError` when the table is no matrix or a token lies outside of it.
    public func embedding(_ tokens: Tensor, table: Variable) throws -> Variable {
        guard table.shape.rank == 2 else {
            throw ShapeError("embedding", "table has shape \(table.shape), expected [vocabulary, width]")
        }
        try tokens.require("embedding", "tokens", shape: tokens.shape, dtype: .int32)
        switch backend {
        case .cpu(let cpu): return try embeddingCPU(cpu, tokens, table)
        case .cuda(let cuda): return try embeddingCUDA(cuda, tokens, table)
        }
    }
}
