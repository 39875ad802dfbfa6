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
        try up.value.require("swiglu", "up", shape: gate.shape)
        switch backend {
        case .cpu(let cpu): return inFloat32(cpu, [gate, up]) { [swiGLUCPU(cpu, $0[0], $0[1])] }[0]
        case .cuda(let cuda): return try swiGLUCUDA(cuda, gate, up)
        }
    }
}
