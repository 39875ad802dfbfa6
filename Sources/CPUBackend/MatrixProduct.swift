import GDNCPUKernels
import GDNTensor

/// The library that a backend multiplies with: a foreign one that was found, or the built-in kernel.
struct MatrixProducts: Sendable {
    /// The library opened; nil: the built-in kernel.
    let library: BLAS?
    /// What was asked for and what came of it.
    let description: String

    /// Opens what is asked for.
    init(_ wanted: MatrixProductLibrary) {
        let builtIn = "built-in kernel (\(CPUBackend.simdLevel))"
        switch wanted {
        case .automatic, .builtIn: library = nil
        case .oneDNN: library = BLAS.oneDNN()
        case .openBLAS: library = BLAS.openBLAS()
        }
        let missing = library == nil && wanted != .automatic && wanted != .builtIn
        description = library?.name ?? (missing ? "\(builtIn); \(wanted.rawValue) is not installed" : builtIn)
    }

    /// Whether a product of this many multiplications goes to the library: calls of small ones cost more than they gain.
    func isForeign(_ multiplications: Int) -> Bool { library != nil && multiplications >= 1 << 20 }

    /// One piece, on the calling thread, of a product of `multiplications` in all.
    func multiply(_ p: Product, partOf multiplications: Int) {
        if let library, isForeign(multiplications), library.multiply(p) { return }
        gdn_gemm_f32(
            p.transposeA ? 1 : 0, p.transposeB ? 1 : 0, p.m, p.n, p.k, p.alpha, p.a, p.lda, p.b, p.ldb, p.beta, p.c,
            p.ldc)
    }
}

extension CPUBackend {
    /// What computes matrix products, e.g. `built-in kernel (AVX-512)`.
    package var matrixProductDescription: String { products.description }

    /// C[m,n] = alpha · op(A) op(B) + beta · C, row-major, on all threads; `op` transposes where asked.
    ///
    /// Leading dimensions (`lda` …) are distances between rows in elements. With `beta` 0 the old C is not read.
    /// The result has the same bits for every number of threads.
    package func matmul(
        _ c: UnsafeMutablePointer<Float>, ldc: Int, _ a: UnsafePointer<Float>, lda: Int, transposeA: Bool = false,
        _ b: UnsafePointer<Float>, ldb: Int, transposeB: Bool = false, m: Int, n: Int, k: Int, alpha: Float = 1,
        beta: Float = 0
    ) {
        if m <= CPUBackend.fewRows, !transposeA, transposeB, alpha == 1 {
            return multiplyFewRows(c, ldc: ldc, a, lda: lda, n: n, m: m, k: k, weightBytes: 4) { range, to in
                gdn_rows_f32(m, range.count, k, a, lda, b + range.lowerBound * ldb, ldb, beta, to, ldc)
            }
        }
        let whole = Product(
            transposeA: transposeA, transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, a: a, lda: lda, b: b,
            ldb: ldb, beta: beta, c: c, ldc: ldc)
        let slices = depthSlices(m: m, n: n, k: k)
        if slices > 1 { return multiplySlices(whole, slices) }
        let pieces = pieces(m * n * k)
        let packs = pieces > 1 && m >= pieces * CPUBackend.rowsWorthPacking && !transposeA && alpha == 1
        if packs, !products.isForeign(m * n * k) { return multiplyPacked(whole, pieces: pieces) }
        multiply(whole, in: Grid(m: m, n: n, k: k, pieces: pieces))
    }

    /// Pieces of so many rows and more take B packed once for all; lower ones are cut by columns as well, and each packs
    /// its own columns.
    private static var rowsWorthPacking: Int { 96 }

    /// A product cut into pieces of rows, A as it lies, alpha 1: B is packed once, by all threads.
    private func multiplyPacked(_ p: Product, pieces: Int) {
        let panels = empty([gdn_gemm_packed_floats(p.n, p.k)])
        parallel(gdn_gemm_panels(p.n), grain: max(1, 2048 / p.k)) { range in
            gdn_gemm_pack_f32(
                panels.floats, p.transposeB ? 1 : 0, p.n, p.k, p.b, p.ldb, range.lowerBound, range.upperBound)
        }
        // Whole tiles, so that no piece but the last ends in a lower one; 12 rows are the highest of any instruction set.
        let tiles = (p.m + 11) / 12
        parallel(pieces) { piece in
            let first = tiles * piece / pieces * 12
            let last = min(p.m, tiles * (piece + 1) / pieces * 12)
            gdn_gemm_packed_f32(
                last - first, p.n, p.k, p.a + first * p.lda, p.lda, panels.floats, p.beta, p.c + first * p.ldc, p.ldc)
        }
    }

    /// A product cut into rectangles of C.
    private func multiply(_ whole: Product, in grid: Grid) {
        let size = whole.m * whole.n * whole.k
        if grid.count <= 1 { return products.multiply(whole, partOf: size) }
        parallel(grid.count) { piece in
            products.multiply(whole.part(grid.piece(piece)), partOf: size)
        }
    }

    /// A product cut along k as well: the slices' results are added in order, so that the bits do not depend on the
    /// number of threads. Slices pack every element of A and B once; rectangles of a small C would pack them
    /// several times.
    private func multiplySlices(_ whole: Product, _ slices: Int) {
        let (m, n, k) = (whole.m, whole.n, whole.k)
        let partial = empty([slices - 1, m, n])
        let grid = Grid(m: m, n: n, k: k / slices, pieces: pieces(m * n * k) / slices)
        parallel(slices * grid.count) { task in
            let slice = task / grid.count
            var part = whole.depth(k * slice / slices..<k * (slice + 1) / slices)
            if slice > 0 { (part.c, part.ldc, part.beta) = (partial.floats + (slice - 1) * m * n, n, 0) }
            products.multiply(part.part(grid.piece(task % grid.count)), partOf: m * n * k)
        }
        parallel(m, grain: max(1, 16_384 / n)) { rows in
            for row in rows {
                for slice in 0..<slices - 1 {
                    gdn_add_f32(whole.c + row * whole.ldc, partial.floats + (slice * m + row) * n, n)
                }
            }
        }
    }

    /// Number of slices along k: four where k is long beside a C that stays in the cache (weight gradients), else one.
    private func depthSlices(m: Int, n: Int, k: Int) -> Int {
        products.isForeign(m * n * k) || k < 2048 || m * n > 1 << 19 ? 1 : 4
    }

    /// Number of pieces for a product of this many multiplications.
    ///
    /// The built-in kernel computes an element in the same way in any piece, so its pieces follow the number of threads.
    /// Other libraries promise no such thing: their pieces depend on the product alone.
    private func pieces(_ multiplications: Int) -> Int {
        if products.isForeign(multiplications) {
            return min(64, max(min(8, multiplications >> 20), multiplications >> 27))
        }
        return threadCount == 1 || isInTask ? 1 : min(threadCount * 4, multiplications >> 20)
    }

    /// y[m,n] = x[m,k] Wᵀ with bfloat16 weights W [n,k]: few rows read the weights as they are, more rows widen them in
    /// blocks of outputs.
    package func matmul(
        _ y: UnsafeMutablePointer<Float>, ldy: Int, _ x: UnsafePointer<Float>, ldx: Int,
        bfloat16Weight w: UnsafePointer<UInt16>, ldw: Int, m: Int, n: Int, k: Int
    ) {
        if m <= CPUBackend.fewRows {
            return multiplyFewRows(y, ldc: ldy, x, lda: ldx, n: n, m: m, k: k, weightBytes: 2) { range, to in
                gdn_rows_bf16(m, range.count, k, x, ldx, w + range.lowerBound * ldw, ldw, 0, to, ldy)
            }
        }
        let block = max(32, (1 << 20) / max(1, k) / 32 * 32)
        let wide = empty([min(block, n), k])
        for start in stride(from: 0, to: n, by: block) {
            let count = min(block, n - start)
            parallel(count, grain: max(1, 16_384 / max(1, k))) { range in
                for row in range { gdn_bf16_to_f32(wide.floats + row * k, w + (start + row) * ldw, k) }
            }
            matmul(y + start, ldc: ldy, x, lda: ldx, wide.floats, ldb: k, transposeB: true, m: m, n: count, k: k)
        }
    }

    /// Up to this many rows a product reads the weights once, in order, instead of packing them.
    package static var fewRows: Int { 8 }

    private func multiplyFewRows(
        _ c: UnsafeMutablePointer<Float>, ldc: Int, _ a: UnsafePointer<Float>, lda: Int, n: Int, m: Int, k: Int,
        weightBytes: Int, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
    ) {
        // Pieces of at least 64 KiB of weights, in fours of outputs.
        let groups = (n + 3) / 4
        parallel(groups, grain: max(1, 65_536 / max(1, 4 * k * weightBytes))) { range in
            let outputs = range.lowerBound * 4..<min(n, range.upperBound * 4)
            if !outputs.isEmpty { body(outputs, c + outputs.lowerBound) }
        }
    }

    /// The rate of large products on all threads, in FLOP/s: the best of a few, in about a tenth of a second.
    package func measurePeakMatrixProduct() -> Double {
        let (m, n, k) = (2048, 512, 512)
        let (a, b, c) = (zeros([m, k]), zeros([k, n]), empty([m, n]))
        let clock = ContinuousClock()
        let deadline = clock.now + .milliseconds(100)
        var best = Duration.seconds(1_000)
        repeat {
            let time = clock.measure {
                matmul(c.floats, ldc: n, a.floats, lda: k, b.floats, ldb: n, m: m, n: n, k: k)
            }
            best = min(best, time)
        } while clock.now < deadline
        let seconds = Double(best.components.seconds) + Double(best.components.attoseconds) * 1e-18
        return 2 * Double(m * n * k) / seconds
    }
}

/// How a product is cut into rectangles of C, one task each.
struct Grid {
    private let m: Int, n: Int, blockM: Int, blockN: Int

    /// About `pieces` rectangles (at least 1), cut so that the least is packed twice.
    init(m: Int, n: Int, k: Int, pieces: Int) {
        (self.m, self.n) = (m, n)
        let wanted = max(1, pieces)
        let (unitM, unitN) = (12, 32)
        var best = (cost: Int.max, blockM: max(1, m), blockN: max(1, n))
        for across in 1...wanted {
            let down = (wanted + across - 1) / across
            let blockM = Grid.blockSize(m, pieces: across, unit: unitM)
            let blockN = Grid.blockSize(n, pieces: down, unit: unitN)
            let (rows, columns) = (Grid.pieces(m, blockM), Grid.pieces(n, blockN))
            // Too few pieces leave threads idle; every piece packs its rows of A and its columns of B.
            let idle = 2 * rows * columns >= wanted ? 0 : m * n
            let cost = columns * m + rows * n + idle
            if cost < best.cost { best = (cost, blockM, blockN) }
        }
        (blockM, blockN) = (best.blockM, best.blockN)
    }

    /// Number of pieces.
    var count: Int { Grid.pieces(m, blockM) * Grid.pieces(n, blockN) }

    /// Rows and columns of one piece.
    func piece(_ index: Int) -> (rows: Range<Int>, columns: Range<Int>) {
        let across = Grid.pieces(n, blockN)
        let (row, column) = (index / across * blockM, index % across * blockN)
        return (row..<min(m, row + blockM), column..<min(n, column + blockN))
    }

    private static func pieces(_ total: Int, _ block: Int) -> Int { (total + block - 1) / block }

    private static func blockSize(_ total: Int, pieces: Int, unit: Int) -> Int {
        let even = (total + pieces - 1) / pieces
        return max(1, (even + unit - 1) / unit * unit)
    }
}
