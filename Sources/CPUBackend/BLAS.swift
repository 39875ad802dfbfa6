import GDNTensor

/// What computes large matrix products on the CPU.
public enum MatrixProductLibrary: String, Sendable, CaseIterable {
    /// The built-in kernel: within 2 % of the fastest library where measured (README of `Sources/CPUBackend`), the same
    /// bits on machines with and without libraries, and pieces for any number of threads.
    case automatic
    /// `dnnl_sgemm` of oneDNN, opened at run time; the built-in kernel where it is not installed.
    case oneDNN
    /// `cblas_sgemm` of OpenBLAS, opened at run time; the built-in kernel where it is not installed.
    case openBLAS
    /// The package's own kernel.
    case builtIn

    /// The library that the environment variable `GDN_BLAS` names, in any case; automatic when it is absent or empty.
    /// - Throws: `BackendError` when it names none of these.
    public static func fromEnvironment() throws -> MatrixProductLibrary {
        try named(getenv("GDN_BLAS").map { String(cString: $0) } ?? "")
    }

    /// The library of this name, in any case; automatic for an empty one.
    package static func named(_ name: String) throws -> MatrixProductLibrary {
        if name.isEmpty { return .automatic }
        guard let library = allCases.first(where: { $0.rawValue.lowercased() == name.lowercased() }) else {
            let known = allCases.map(\.rawValue).joined(separator: ", ")
            throw BackendError(
                "GDN_BLAS is \(name), which names no matrix library; set it to one of \(known), or unset it")
        }
        return library
    }
}

/// One product of one thread, row-major, as every library here takes it: C = alpha · op(A) op(B) + beta · C.
struct Product: @unchecked Sendable {
    var transposeA: Bool, transposeB: Bool
    var m: Int, n: Int, k: Int
    var alpha: Float
    var a: UnsafePointer<Float>, lda: Int
    var b: UnsafePointer<Float>, ldb: Int
    var beta: Float
    var c: UnsafeMutablePointer<Float>, ldc: Int

    /// The rectangle of C at these rows and columns.
    func part(_ place: (rows: Range<Int>, columns: Range<Int>)) -> Product {
        var part = self
        (part.m, part.n) = (place.rows.count, place.columns.count)
        part.a = a + place.rows.lowerBound * (transposeA ? 1 : lda)
        part.b = b + place.columns.lowerBound * (transposeB ? ldb : 1)
        part.c = c + place.rows.lowerBound * ldc + place.columns.lowerBound
        return part
    }

    /// The terms of the sum in this range of k.
    func depth(_ range: Range<Int>) -> Product {
        var part = self
        part.k = range.count
        part.a = a + range.lowerBound * (transposeA ? lda : 1)
        part.b = b + range.lowerBound * (transposeB ? 1 : ldb)
        return part
    }
}

/// A library that multiplies matrices, opened with `dlopen` and told to use the calling thread alone: the backend's own
/// threads split the work, so that two sets of threads never compete for the same cores.
struct BLAS: Sendable {
    /// Library file and function, for people.
    let name: String
    /// Computes a product on the calling thread; false when the library refuses.
    let multiply: @Sendable (Product) -> Bool

    private typealias SetThreads = @convention(c) @Sendable (Int32) -> Void
    private typealias DNNLGemm =
        @convention(c) @Sendable (
            CChar, CChar, Int, Int, Int, Float, UnsafePointer<Float>, Int, UnsafePointer<Float>, Int, Float,
            UnsafeMutablePointer<Float>, Int
        ) -> Int32
    private typealias CBLASGemm =
        @convention(c) @Sendable (
            Int32, Int32, Int32, Int32, Int32, Int32, Float, UnsafePointer<Float>, Int32, UnsafePointer<Float>, Int32,
            Float, UnsafeMutablePointer<Float>, Int32
        ) -> Void

    /// oneDNN 2 or 3; nil where it is not installed.
    static func oneDNN() -> BLAS? {
        guard let (file, library) = open(["libdnnl.so.3", "libdnnl.so.2", "libdnnl.so", "libdnnl.dylib"]),
            let symbol = dlsym(library, "dnnl_sgemm")
        else { return nil }
        let gemm = unsafeBitCast(symbol, to: DNNLGemm.self)
        // The number of OpenMP threads is a property of each thread that starts a parallel region, so it is set before
        // every call. Found through the library itself, it is the OpenMP that the library uses.
        let setThreads = (dlsym(library, "omp_set_num_threads")).map { unsafeBitCast($0, to: SetThreads.self) }
        let (plain, transposed) = (CChar(UInt8(ascii: "N")), CChar(UInt8(ascii: "T")))
        return BLAS(name: "oneDNN (\(file), dnnl_sgemm)") { p in
            setThreads?(1)
            return gemm(
                p.transposeA ? transposed : plain, p.transposeB ? transposed : plain, p.m, p.n, p.k, p.alpha, p.a,
                p.lda, p.b, p.ldb, p.beta, p.c, p.ldc) == 0
        }
    }

    /// OpenBLAS with its C interface; nil where it is not installed.
    static func openBLAS() -> BLAS? {
        guard let (file, library) = open(["libopenblas.so.0", "libopenblas.so", "libopenblas.dylib"]),
            let symbol = dlsym(library, "cblas_sgemm"), let limit = dlsym(library, "openblas_set_num_threads")
        else { return nil }
        let gemm = unsafeBitCast(symbol, to: CBLASGemm.self)
        unsafeBitCast(limit, to: SetThreads.self)(1)
        let (rowMajor, plain, transposed) = (Int32(101), Int32(111), Int32(112))
        return BLAS(name: "OpenBLAS (\(file), cblas_sgemm)") { p in
            let sizes = [p.m, p.n, p.k, p.lda, p.ldb, p.ldc].map { Int32(exactly: $0) }
            guard let m = sizes[0], let n = sizes[1], let k = sizes[2], let lda = sizes[3], let ldb = sizes[4],
                let ldc = sizes[5]
            else { return false }
            gemm(
                rowMajor, p.transposeA ? transposed : plain, p.transposeB ? transposed : plain, m, n, k, p.alpha, p.a,
                lda, p.b, ldb, p.beta, p.c, ldc)
            return true
        }
    }

    private static func open(_ names: [String]) -> (String, UnsafeMutableRawPointer)? {
        for name in names {
            if let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) { return (name, library) }
        }
        return nil
    }
}
