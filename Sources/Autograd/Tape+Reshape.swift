import GDNTensor

extension Tape {
    /// The same elements under another shape of equal count; costs nothing.
    package func reshape(_ x: Variable, _ shape: Shape) -> Variable {
        let original = x.shape
        if original == shape { return x }
        let result = record([x], [x.value.reshaped(shape)]) { [$0[0]?.reshaped(original)] }[0]
        result.recomputed = x.recomputed.map { value in { try value().reshaped(shape) } }
        return result
    }
}
