import GDNTensor

private let elementwiseSource = KernelSource(backend: "elementwise")

extension CUDABackend {
    /// `to += from`, counts equal, each float32 or bfloat16.
    package func add(into to: Tensor, _ from: Tensor) throws {
        try run("add", to, to, from, [.tensor(to), .tensor(to), .tensor(from)])
    }

    /// A new tensor `a + b` of a's dtype.
    package func sum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        let result = try empty(a.shape, a.dtype)
        try run("add", result, a, b, [.tensor(result), .tensor(a), .tensor(b)])
        return result
    }

    /// The same numbers as another dtype (float32 or bfloat16).
    package func convert(_ tensor: Tensor, to dtype: DType) throws -> Tensor {
        if tensor.dtype == dtype { return tensor }
        let result = try empty(tensor.shape, dtype)
        try convert(tensor, into: result)
        return result
    }

    /// Writes the numbers of `from` in the dtype of `to` (float32 or bfloat16).
    package func convert(_ from: Tensor, into to: Tensor) throws {
        if from.dtype == to.dtype { return try copy(from, into: to) }
        try run("convert", to, from, from, [.tensor(to), .tensor(from)])
    }

    /// Sums over the rows of a float32 matrix [rows, columns], in a fixed order: [columns].
    package func sumRows(_ matrix: Tensor) throws -> Tensor {
        let (rows, columns) = (matrix.shape.rows, matrix.shape[-1])
        let result = try empty([columns])
        let kernel = try kernel(elementwiseSource, "sum_rows", [("OUT", "float"), ("A", "float"), ("B", "float")])
        var lanes = 4
        while lanes < 128, lanes * 4 <= rows { lanes *= 2 }
        let across = 1024 / lanes
        try launch(
            kernel, blocks: (columns + across - 1) / across, threads: 1024,
            [.tensor(result), .tensor(matrix), .int(rows), .int(columns), .int(lanes)])
        return result
    }

    /// Copies `count` columns of a matrix into another of the same dtype and number of rows.
    package func copyColumns(_ matrix: Tensor, from: Int, into target: Tensor, at: Int, count: Int) throws {
        let rows = matrix.shape.rows
        guard target.shape.rows == rows, matrix.dtype == target.dtype else {
            throw ShapeError("copy_columns", "source is \(matrix.shape) but target \(target.shape)")
        }
        let kernel = try kernel(
            elementwiseSource, "copy_columns",
            [("OUT", try cName(target)), ("A", try cName(matrix)), ("B", try cName(matrix))])
        try launch(
            kernel, blocks: min((rows * count + 255) / 256, 132 * 16), threads: 256,
            [
                .tensor(target), .tensor(matrix), .int(count), .int(from), .int(at), .int(matrix.shape[-1]),
                .int(target.shape[-1]), .long(rows * count),
            ])
    }

    /// Zeros in some columns of a matrix.
    package func clearColumns(_ matrix: Tensor, _ columns: Range<Int>) throws {
        let name = try cName(matrix)
        let kernel = try kernel(elementwiseSource, "clear_columns", [("OUT", name), ("A", name), ("B", name)])
        let count = matrix.shape.rows * columns.count
        try launch(
            kernel, blocks: min((count + 255) / 256, 132 * 16), threads: 256,
            [
                .columns(matrix, start: 0, width: columns.count), .int(columns.count), .int(columns.lowerBound),
                .int(matrix.shape[-1]), .long(count),
            ])
    }

    /// `to = factor · from`.
    package func scale(_ from: Tensor, by factor: Float, into to: Tensor) throws {
        try run("scale", to, from, from, [.tensor(to), .tensor(from), .float(factor)])
    }

    private func run(_ name: String, _ out: Tensor, _ a: Tensor, _ b: Tensor, _ arguments: [KernelArgument]) throws {
        guard a.count == out.count, b.count == out.count else {
            throw ShapeError(name, "shapes \(a.shape) and \(b.shape) have other counts than \(out.shape)")
        }
        let kernel = try kernel(
            elementwiseSource, name, [("OUT", try cName(out)), ("A", try cName(a)), ("B", try cName(b))])
        let isHalf = [out, a, b].contains { $0.dtype == .bfloat16 }
        let isAligned = [out, a, b].allSatisfy { $0.deviceAddress % 16 == 0 }
        let vectors = isAligned ? out.count / (isHalf ? 8 : 4) : 0
        let blocks = min((max(vectors, out.count - 8 * vectors) + 255) / 256, 132 * 32)
        try launch(kernel, blocks: max(1, blocks), threads: 256, arguments + [.long(out.count), .long(vectors)])
    }

    private func cName(_ tensor: Tensor) throws -> String {
        switch tensor.dtype {
        case .float32: return "float"
        case .bfloat16: return "bfloat16"
        case .float16, .int32, .uint8: throw BackendError("arithmetic on \(tensor.dtype.rawValue) is not supported")
        }
    }
}
