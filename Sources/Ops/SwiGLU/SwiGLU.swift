import GDNAutograd
import GDNTensor

extension Tape {
    /// The gate of the feed-forward layer: `y = silu(gate) · up`, element by element.
    ///
    /// - Parameters:
    ///   - gate: [..., F]
    ///   - up: [..., F], the shape of `gate`
    /// - Returns: [..., F]
    /// - Throws: `ShapeError` when the shapes differ.
    /// - Source: Shazeer 2020, eq. 6.
    public func swiGLU(_ gate: Variable, _ up: Variable) throws -> Variable {
        try swiGLU(Columns(gate), Columns(up))
    }

    /// The same from projections that may lie beside each other.
    public func swiGLU(_ gate: Columns, _ up: Columns) throws -> Variable {
        guard up.shape == gate.shape else {
            throw ShapeError("swiglu", "up has shape \(up.shape), expected \(gate.shape)")
        }
        switch backend {
        case .cpu(let cpu):
            return inFloat32(cpu, [try variable(gate), try variable(up)]) { [swiGLUCPU(cpu, $0[0], $0[1])] }[0]
        case .cuda(let cuda): return try swiGLUCUDA(cuda, gate, up)
        }
    }
}
