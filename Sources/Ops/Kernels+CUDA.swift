import GDNAutograd
import GDNCUDABackend
import GDNOpsKernels
import GDNTensor

/// The kernels of one operation for one element type, and how to launch them.
struct CUDAKernels {
    let cuda: CUDABackend
    private let source: KernelSource
    private let suffix: String
    private let defines: KernelDefines

    /// A specialisation of an operation's source.
    /// - Parameters:
    ///   - source: made by `kernelSource`
    ///   - dtype: what `element` is in the source
    ///   - defines: the macros the source asks for
    /// - Throws: `BackendError` for element types other than float32 and bfloat16.
    init(_ cuda: CUDABackend, _ source: KernelSource, _ dtype: DType, _ defines: KernelDefines = []) throws {
        guard dtype == .float32 || dtype == .bfloat16 else {
            throw BackendError("\(source.name): \(dtype.rawValue) has no CUDA form, expected float32 or bfloat16")
        }
        self.cuda = cuda
        self.source = source
        suffix = "_\(dtype.rawValue)"
        self.defines = [("ELEMENT_BFLOAT16", dtype == .bfloat16 ? "1" : "0")] + defines
    }

    /// Launches kernel `name` (without its dtype).
    func launch(
        _ name: String, grid: (Int, Int), threads: Int, shared: Int = 0, _ arguments: [KernelArgument]
    ) throws {
        let kernel = try cuda.kernel(source, name + suffix, defines)
        try cuda.launch(kernel, grid: (grid.0, grid.1, 1), threads: threads, shared: shared, arguments)
    }

    /// Launches kernel `name` of a chain (`Decoding/chain.cuh`).
    /// - Parameter startsEarly: beside the kernel before it; false for the first of a chain
    func launchChained(
        _ name: String, blocks: Int, threads: Int, shared: Int = 0, startsEarly: Bool, _ arguments: [KernelArgument]
    ) throws {
        let kernel = try cuda.kernel(source, name + suffix, defines)
        try cuda.preferSharedMemory(kernel)
        try cuda.launch(
            kernel, grid: (blocks, 1, 1), threads: threads, shared: shared, startsEarly: startsEarly, arguments)
    }

    /// Launches kernel `name` on blocks in one dimension.
    func launch(_ name: String, blocks: Int, threads: Int, shared: Int = 0, _ arguments: [KernelArgument]) throws {
        try launch(name, grid: (blocks, 1), threads: threads, shared: shared, arguments)
    }
}

extension Variable {
    /// The value as matrix products of this dtype take it; a parameter keeps its bfloat16 copy.
    func operand(_ cuda: CUDABackend, _ dtype: DType) throws -> Tensor {
        if dtype == .bfloat16, let parameter = self as? Parameter { return try parameter.bfloat16Copy(on: cuda) }
        return try cuda.convert(value, to: dtype)
    }
}

extension Tape {
    /// The variable in another floating-point dtype; its gradient comes back in the dtype it had.
    func converted(_ cuda: CUDABackend, _ x: Variable, to dtype: DType) throws -> Variable {
        let own = x.value.dtype
        if own == dtype { return x }
        return record([x], [try cuda.convert(x.value, to: dtype)]) { gradients in
            [try gradients[0].map { try cuda.convert($0, to: own) }]
        }[0]
    }
}

/// The backend's prelude, what all operations share, and files of `Sources/Ops`, joined.
func kernelSource(_ name: String, _ files: String...) -> KernelSource {
    let shared = ["Kernels/Elements.cuh", "Kernels/Rows.cuh", "Kernels/Tiles.cuh"]
    return KernelSource(
        name: name, (shared + files).compactMap { path in gdn_kernel_text(path).map { String(cString: $0) } })
}

/// How a block covers rows: `GROUP` threads a row, `BLOCK_THREADS` a block (`Kernels/Rows.cuh` explains).
struct RowGeometry {
    /// Rows a block covers at a time.
    let blockRows: Int
    let threads: Int
    let width: Int
    let defines: KernelDefines

    init(width: Int, dtype: DType) {
        let vector = vectorLength(dtype, fits: width)
        let vectors = width / vector
        var group = 4
        while group < 512, group * (vector > 1 ? 2 : 8) < vectors { group *= 2 }
        self.width = width
        threads = group <= 32 ? 256 : group
        blockRows = threads / group
        defines = [
            ("WIDTH", "\(width)"), ("GROUP", "\(group)"), ("BLOCK_THREADS", "\(threads)"), ("VECTOR", "\(vector)"),
        ]
    }

    /// Blocks that cover `rows` once.
    func blocks(_ rows: Int) -> Int { (rows + blockRows - 1) / blockRows }
    /// Blocks of a backward that also sums over rows: few enough for their partial sums to be cheap.
    func summingBlocks(_ rows: Int) -> Int { min(blocks(rows), threads < 256 ? 1056 : 528) }
    /// Shared memory of `store_column_sums`.
    var summingBytes: Int { blockRows > 1 ? blockRows * width * 4 : 0 }
}

/// Elements that travel together: 16 bytes where `count` is a multiple of that, else one.
func vectorLength(_ dtype: DType, fits count: Int) -> Int {
    let vector = 16 / dtype.byteCount
    return count % vector == 0 ? vector : 1
}

/// As above, for whole tensors: all must start at a multiple of 16 bytes too.
func vectorLength(_ tensors: [Tensor]) -> Int {
    guard let first = tensors.first, tensors.allSatisfy({ $0.deviceAddress % 16 == 0 }) else { return 1 }
    return vectorLength(first.dtype, fits: first.count)
}

/// As above, for rows of `width` elements of tensors of several dtypes: vectors of the first's.
func vectorLength(_ tensors: [Tensor], rows width: Int) -> Int {
    guard let first = tensors.first, tensors.allSatisfy({ $0.deviceAddress % 16 == 0 }) else { return 1 }
    return vectorLength(first.dtype, fits: width)
}

/// As above, for results that may lie beside others: rows, first columns and pitches all have to fit.
func vectorLength(_ columns: [Columns]) -> Int {
    guard let first = columns.first else { return 1 }
    let vector = vectorLength(columns.map(\.rows.value), rows: first.width)
    return columns.allSatisfy { $0.start % vector == 0 && $0.pitch % vector == 0 } ? vector : 1
}

/// Blocks of 256 threads for a loop over `count` items of any grid size.
func loopBlocks(_ count: Int) -> Int { max(1, min((count + 255) / 256, 132 * 32)) }
