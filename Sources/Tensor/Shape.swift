/// The extents of a tensor, outermost first.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// Extents, outermost first.
    public let dims: [Int]

    /// A shape from its extents.
    public init(_ dims: [Int]) {
        self.dims = dims
    }

    /// A shape written as `[B, T, D]`.
    public init(arrayLiteral elements: Int...) {
        dims = elements
    }

    /// Number of dimensions.
    public var rank: Int { dims.count }

    /// Number of elements.
    public var count: Int { dims.reduce(1, *) }

    /// Extent of one dimension; negative indices count from the last (`shape[-1]`).
    public subscript(index: Int) -> Int {
        dims[index < 0 ? dims.count + index : index]
    }

    /// Product of all extents but the last: the number of rows.
    public var rows: Int { dims.dropLast().reduce(1, *) }

    /// `[2, 64, 256]`
    public var description: String { "\(dims)" }
}
