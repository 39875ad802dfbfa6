import GDNCUDABackend
import GDNTensor

/// One of several results of a product that lie side by side in common rows.
///
/// An operation that can step over the columns of others reads its own where they are, and its backward writes their
/// gradient into common rows too, from which one product computes the gradient of the input. `Tape.variable` copies
/// the columns out for any other operation. Only one operation may read them in a computation that is differentiated.
public struct Columns {
    /// The rows: [..., pitch].
    package let rows: Variable
    /// Position of the first column.
    package let start: Int
    /// Number of columns.
    public let width: Int
    /// `width` and the unused columns up to what comes next; their gradient has to be zeros.
    package let room: Int
    private let shared: SharedRows?

    /// All columns of a variable.
    public init(_ variable: Variable) {
        self.init(rows: variable, start: 0, width: variable.shape[-1], room: variable.shape[-1], shared: nil)
    }

    fileprivate init(rows: Variable, start: Int, width: Int, room: Int, shared: SharedRows?) {
        self.rows = rows
        self.start = start
        self.width = width
        self.room = room
        self.shared = shared
    }

    /// Shape as a variable of its own: [..., width].
    public var shape: Shape { Shape(rows.shape.dims.dropLast() + [width]) }
    /// Element type.
    public var dtype: DType { rows.value.dtype }
    /// Elements from one row to the next.
    package var pitch: Int { rows.shape[-1] }
    /// Whether these are all columns of their rows.
    package var isWhole: Bool { shared == nil }
    /// The columns as a kernel takes them.
    package var argument: KernelArgument { .columns(rows.value, start: start, width: width) }

    /// Where a backward writes the gradient of these columns: common rows, or a tensor of their own for the tape.
    /// - Parameter fillsRoom: whether the backward writes zeros to the unused columns behind them, up to `room`
    /// - Throws: `BackendError` when another operation has read these columns too.
    package func gradient(on cuda: CUDABackend, fillsRoom: Bool = false) throws -> ColumnsGradient {
        guard let shared else {
            let own = try cuda.empty(shape, dtype)
            return ColumnsGradient(rows: own, start: 0, width: width, forTape: own)
        }
        guard rows.requiresGradient else {
            let unused = try cuda.empty(rows.shape, dtype)
            return ColumnsGradient(rows: unused, start: start, width: width, forTape: nil)
        }
        try shared.take(start..<start + (fillsRoom ? room : width))
        let common = try rows.gradient ?? cuda.empty(rows.shape, dtype)
        rows.gradient = common
        return ColumnsGradient(rows: common, start: start, width: width, forTape: nil)
    }
}

/// Memory for the gradient of some columns.
package struct ColumnsGradient {
    /// Rows as wide as those of the columns.
    package let rows: Tensor
    fileprivate let start, width: Int
    /// What the backward hands to the tape; nil where it wrote to common rows.
    package let forTape: Tensor?
    /// The columns as a kernel takes them.
    package var argument: KernelArgument { .columns(rows, start: start, width: width) }
}

/// Which columns of common rows have their gradient already.
private final class SharedRows {
    private var written: [Range<Int>] = []

    func take(_ columns: Range<Int>) throws {
        if written.contains(where: { $0.overlaps(columns) }) {
            throw BackendError("columns \(columns) of common rows are read by two operations; copy them out for one")
        }
        written.append(columns)
    }

    /// The columns below `end` without a gradient. Forgets what was written.
    func gaps(end: Int) -> [Range<Int>] {
        var gaps: [Range<Int>] = []
        var next = 0
        for columns in written.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if columns.lowerBound > next { gaps.append(next..<columns.lowerBound) }
            next = columns.upperBound
        }
        if next < end { gaps.append(next..<end) }
        written = []
        return gaps
    }
}

/// How results of these widths lie side by side: each at a multiple of 16 bytes, rows at multiples of 128.
package struct ColumnLayout {
    /// Number of columns of each result.
    package let widths: [Int]
    /// First column of each, and where the last one's room ends.
    package let starts: [Int]
    /// Columns of the common product.
    package var count: Int { starts[widths.count] }
    /// Elements from one row to the next.
    package var pitch: Int { (count + 63) / 64 * 64 }

    /// A layout for bfloat16 results.
    package init(widths: [Int]) {
        self.widths = widths
        starts = widths.reduce(into: [0]) { $0.append($0[$0.count - 1] + ($1 + 7) / 8 * 8) }
    }

    /// Rows of the matrix at `index`, where matrices [widths_i, D] lie one below the other in `all` [count, D].
    package func rows(_ all: Tensor, _ index: Int) -> Tensor {
        all.slice(starts[index]..<starts[index] + widths[index])
    }
}

extension Tape {
    /// Wraps results that lie side by side and records their common backward.
    /// - Parameters:
    ///   - inputs: what the operation read
    ///   - rows: [..., layout.pitch]
    ///   - backward: from the gradient of the rows, complete below `layout.count`, to those of the inputs
    package func record(
        _ inputs: [Variable], rows: Tensor, _ layout: ColumnLayout, on cuda: CUDABackend,
        backward: @escaping (Tensor) throws -> [Tensor?]
    ) -> [Columns] {
        let shared = SharedRows()
        let variable = record(inputs, [rows]) { gradients in
            guard let gradient = gradients[0] else { return [] }
            for gap in shared.gaps(end: layout.count) { try cuda.clearColumns(gradient, gap) }
            return try backward(gradient)
        }[0]
        return layout.widths.indices.map { index in
            Columns(
                rows: variable, start: layout.starts[index], width: layout.widths[index],
                room: layout.starts[index + 1] - layout.starts[index], shared: shared)
        }
    }

    /// Columns as a variable of their own: copied, unless they are all of their rows.
    package func variable(_ columns: Columns) throws -> Variable {
        guard !columns.isWhole, case .cuda(let cuda) = backend else { return columns.rows }
        let copy = try cuda.empty(columns.shape, columns.dtype)
        try cuda.copyColumns(columns.rows.value, from: columns.start, into: copy, at: 0, count: columns.width)
        return record([columns.rows], [copy]) { gradients in
            guard let upstream = gradients[0] else { return [nil] }
            let gradient = try columns.gradient(on: cuda)
            try cuda.copyColumns(upstream, from: 0, into: gradient.rows, at: columns.start, count: columns.width)
            return [gradient.forTape]
        }[0]
    }

    /// Variables of equal rows side by side, as a common product would have left them. On a CPU they stay apart.
    package func sideBySide(_ variables: [Variable]) throws -> [Columns] {
        guard case .cuda(let cuda) = backend, let first = variables.first else { return variables.map { Columns($0) } }
        let layout = ColumnLayout(widths: variables.map { $0.shape[-1] })
        let rows = try cuda.empty(Shape(first.shape.dims.dropLast() + [layout.pitch]), first.value.dtype)
        for (index, variable) in variables.enumerated() {
            try cuda.copyColumns(
                variable.value, from: 0, into: rows, at: layout.starts[index], count: layout.widths[index])
        }
        let shapes = variables.map(\.shape)
        return record(variables, rows: rows, layout, on: cuda) { gradient in
            try shapes.enumerated().map { index, shape in
                let own = try cuda.empty(shape, gradient.dtype)
                try cuda.copyColumns(gradient, from: layout.starts[index], into: own, at: 0, count: shape[-1])
                return own
            }
        }
    }
}
