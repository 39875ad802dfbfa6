import GDNTensor

/// Matrix products through cuBLASLt, its algorithm chosen by the library's own heuristic once a shape.
final class MatMul: Sendable {
    typealias Handle = OpaquePointer
    typealias Status = Int32

    /// Everything the choice of an algorithm depends on. Matrices are row-major, `ld` in elements.
    struct Problem: Hashable {
        var m: Int, n: Int, k: Int
        var lda: Int, ldb: Int, ldc: Int
        var transposeA: Bool, transposeB: Bool
        var inputType: DType, outputType: DType
        var tf32: Bool
        var accumulates: Bool
    }

    /// A described product with its algorithm (`cublasLtMatmulAlgo_t` is 64 bytes).
    struct Plan: @unchecked Sendable {
        var product: Handle
        var a: Handle, b: Handle, c: Handle
        var algorithm: [UInt64]
    }

    struct Contents: @unchecked Sendable {
        var plans: [Problem: Plan] = [:]
        var handle: Handle?
        var workspace: UInt64 = 0
    }

    let library: SharedLibrary
    private let contents = Guarded(Contents())
    private let functions: Functions
    private static let workspaceBytes = 64 << 20

    init() throws {
        library = try SharedLibrary(
            title: "cuBLASLt", names: ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"],
            remedy: "install it with: pip install nvidia-cublas (CUDA 13) or nvidia-cublas-cu12, or the CUDA toolkit, "
                + "and set CUDA_HOME")
        functions = try Functions(library)
    }

    /// Version, e.g. 130100.
    var version: Int { functions.getVersion() }

    /// C = alpha · op(A) op(B) + beta · C on `stream`.
    func run(
        _ driver: Driver, _ stream: Driver.Handle, device: Int, _ problem: Problem, a: UInt64, b: UInt64, c: UInt64,
        alpha: Float, beta: Float
    ) throws {
        let (handle, plan, workspace) = try contents.withLock { contents in
            if contents.handle == nil {
                try check(functions.create(&contents.handle), "starting cuBLASLt")
                let result = driver.memoryAllocateAsync(&contents.workspace, Self.workspaceBytes, stream)
                guard result == 0 else {
                    throw driver.outOfMemory(Self.workspaceBytes, "the workspace of cuBLASLt", device: device, result)
                }
            }
            guard let handle = contents.handle else { throw BackendError("cuBLASLt gave no handle") }
            if let plan = contents.plans[problem] { return (handle, plan, contents.workspace) }
            let plan = try makePlan(handle, problem)
            contents.plans[problem] = plan
            return (handle, plan, contents.workspace)
        }
        var (alpha, beta) = (alpha, beta)
        // Row-major C = A B is column-major Cᵀ = Bᵀ Aᵀ: B goes first.
        let status = plan.algorithm.withUnsafeBytes { algorithm in
            functions.matmul(
                handle, plan.product, &alpha, b, plan.b, a, plan.a, &beta, c, plan.c, c, plan.c, algorithm.baseAddress,
                workspace, Self.workspaceBytes, stream)
        }
        try check(status, "matrix product \(problem.m)×\(problem.n)×\(problem.k)")
    }

    func destroy(_ driver: Driver, _ stream: Driver.Handle) {
        contents.withLock { contents in
            for plan in contents.plans.values {
                _ = functions.layoutDestroy(plan.a)
                _ = functions.layoutDestroy(plan.b)
                _ = functions.layoutDestroy(plan.c)
                _ = functions.descDestroy(plan.product)
            }
            if let handle = contents.handle {
                _ = functions.destroy(handle)
                _ = driver.memoryFreeAsync(contents.workspace, stream)
            }
            contents = Contents()
        }
    }

    private func makePlan(_ handle: Handle, _ problem: Problem) throws -> Plan {
        let compute: Int32 = problem.tf32 && problem.inputType == .float32 ? 77 : 68
        var product: Handle?
        try check(functions.descCreate(&product, compute, 0), "describing a product")
        var (flagB, flagA): (Int32, Int32) = (problem.transposeB ? 1 : 0, problem.transposeA ? 1 : 0)
        guard let product else { throw BackendError("cuBLASLt gave no description") }
        try check(functions.descSet(product, 3, &flagB, 4), "describing a product")
        try check(functions.descSet(product, 4, &flagA, 4), "describing a product")
        // A stored row-major [rows, columns] is column-major columns × rows.
        let b = try layout(
            problem.inputType, problem.transposeB ? (problem.k, problem.n) : (problem.n, problem.k), problem.ldb)
        let a = try layout(
            problem.inputType, problem.transposeA ? (problem.m, problem.k) : (problem.k, problem.m), problem.lda)
        let c = try layout(problem.outputType, (problem.n, problem.m), problem.ldc)

        var preference: Handle?
        try check(functions.preferenceCreate(&preference), "choosing an algorithm")
        guard let preference else { throw BackendError("cuBLASLt gave no preference") }
        defer { _ = functions.preferenceDestroy(preference) }
        var bytes = Self.workspaceBytes
        try check(functions.preferenceSet(preference, 1, &bytes, 8), "choosing an algorithm")
        // cublasLtMatmulHeuristicResult_t: 64 bytes of algorithm, then workspace size, status, waves: 96 in all.
        var result = [UInt64](repeating: 0, count: 12)
        var found: Int32 = 0
        let status = functions.heuristic(handle, product, b, a, c, c, preference, 1, &result, &found)
        guard status == 0, found > 0 else {
            throw BackendError("cuBLASLt has no algorithm for \(problem) (status \(status))")
        }
        return Plan(product: product, a: a, b: b, c: c, algorithm: Array(result[0..<8]))
    }

    private func layout(_ dtype: DType, _ extents: (rows: Int, columns: Int), _ ld: Int) throws -> Handle {
        let type: Int32
        switch dtype {
        case .float32: type = 0
        case .float16: type = 2
        case .bfloat16: type = 14
        case .int32, .uint8: throw BackendError("matrix product of \(dtype.rawValue) elements is not supported")
        }
        var layout: Handle?
        try check(
            functions.layoutCreate(&layout, type, UInt64(extents.rows), UInt64(extents.columns), Int64(ld)),
            "describing a matrix")
        guard let layout else { throw BackendError("cuBLASLt gave no matrix layout") }
        return layout
    }

    private func check(_ status: Status, _ action: String) throws {
        if status != 0 { throw BackendError("cuBLASLt: \(action) failed with status \(status)") }
    }

    /// The library's functions.
    private struct Functions: @unchecked Sendable {
        let getVersion: @convention(c) () -> Int
        let create: @convention(c) (UnsafeMutablePointer<Handle?>) -> Status
        let destroy: @convention(c) (Handle) -> Status
        let descCreate: @convention(c) (UnsafeMutablePointer<Handle?>, Int32, Int32) -> Status
        let descDestroy: @convention(c) (Handle) -> Status
        let descSet: @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
        let layoutCreate: @convention(c) (UnsafeMutablePointer<Handle?>, Int32, UInt64, UInt64, Int64) -> Status
        let layoutDestroy: @convention(c) (Handle) -> Status
        let preferenceCreate: @convention(c) (UnsafeMutablePointer<Handle?>) -> Status
        let preferenceDestroy: @convention(c) (Handle) -> Status
        let preferenceSet: @convention(c) (Handle, Int32, UnsafeRawPointer, Int) -> Status
        let heuristic:
            @convention(c) (
                Handle, Handle, Handle, Handle, Handle, Handle, Handle, Int32, UnsafeMutableRawPointer,
                UnsafeMutablePointer<Int32>
            ) -> Status
        let matmul:
            @convention(c) (
                Handle, Handle, UnsafeRawPointer, UInt64, Handle, UInt64, Handle, UnsafeRawPointer, UInt64, Handle,
                UInt64, Handle, UnsafeRawPointer?, UInt64, Int, Driver.Handle?
            ) -> Status

        init(_ library: SharedLibrary) throws {
            getVersion = try library.function("cublasLtGetVersion")
            create = try library.function("cublasLtCreate")
            destroy = try library.function("cublasLtDestroy")
            descCreate = try library.function("cublasLtMatmulDescCreate")
            descDestroy = try library.function("cublasLtMatmulDescDestroy")
            descSet = try library.function("cublasLtMatmulDescSetAttribute")
            layoutCreate = try library.function("cublasLtMatrixLayoutCreate")
            layoutDestroy = try library.function("cublasLtMatrixLayoutDestroy")
            preferenceCreate = try library.function("cublasLtMatmulPreferenceCreate")
            preferenceDestroy = try library.function("cublasLtMatmulPreferenceDestroy")
            preferenceSet = try library.function("cublasLtMatmulPreferenceSetAttribute")
            heuristic = try library.function("cublasLtMatmulAlgoGetHeuristic")
            matmul = try library.function("cublasLtMatmul")
        }
    }
}

extension CUDABackend {
    /// C[m,n] = alpha · op(A) op(B) + beta · C, row-major; `op` transposes where asked.
    ///
    /// A and B share a dtype (float32 or bfloat16), C may be float32 under bfloat16 inputs; sums are float32. The
    /// numbers of rows and columns are `m`, `n`, `k`; leading dimensions default to contiguous matrices.
    package func matmul(
        _ c: Tensor, _ a: Tensor, transposeA: Bool = false, _ b: Tensor, transposeB: Bool = false, m: Int, n: Int,
        k: Int, alpha: Float = 1, beta: Float = 0, lda: Int? = nil, ldb: Int? = nil, ldc: Int? = nil
    ) throws {
        guard a.dtype == b.dtype else {
            throw ShapeError("matmul", "A is \(a.dtype.rawValue) but B is \(b.dtype.rawValue)")
        }
        if m == 0 || n == 0 { return }
        let problem = MatMul.Problem(
            m: m, n: n, k: k, lda: lda ?? (transposeA ? m : k), ldb: ldb ?? (transposeB ? k : n), ldc: ldc ?? n,
            transposeA: transposeA, transposeB: transposeB, inputType: a.dtype, outputType: c.dtype, tf32: allowsTF32,
            accumulates: beta != 0)
        if isSmallProduct(problem), [a, b].allSatisfy({ $0.deviceAddress % 16 == 0 }) {
            return try smallProduct(c, a, b, problem, alpha: alpha)
        }
        if isRehearsing { return }
        try activate()
        let (sizeA, sizeB, sizeC) = (m * k * a.dtype.byteCount, n * k * b.dtype.byteCount, m * n * c.dtype.byteCount)
        try timed(
            "product \(m)×\(n)×\(k) to \(c.dtype.rawValue)", bytes: sizeA + sizeB + (beta == 0 ? 1 : 2) * sizeC,
            flops: 2 * Double(m) * Double(n) * Double(k)
        ) {
            try matmul.run(
                driver, stream, device: deviceIndex, problem, a: a.deviceAddress, b: b.deviceAddress,
                c: c.deviceAddress,
                alpha: alpha, beta: beta)
        }
    }
}
