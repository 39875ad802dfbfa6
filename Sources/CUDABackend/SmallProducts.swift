import GDNTensor

private let smallProductSource = KernelSource(backend: "small_product")

extension CUDABackend {
    /// Whether a product is one that `smallProduct` takes: few rows of bfloat16, W as it is stored, nothing added to.
    func isSmallProduct(_ problem: MatMul.Problem) -> Bool {
        problem.m <= 4 && problem.inputType == .bfloat16 && !problem.transposeA && problem.transposeB
            && !problem.accumulates && problem.k % 8 == 0 && problem.lda == problem.k && problem.ldb == problem.k
            && problem.ldc == problem.n && (problem.outputType == .float32 || problem.outputType == .bfloat16)
    }

    /// y [m, n] = alpha · x [m, k] Wᵀ with W [n, k].
    func smallProduct(_ y: Tensor, _ x: Tensor, _ weight: Tensor, _ problem: MatMul.Problem, alpha: Float) throws {
        let kernel = try kernel(
            smallProductSource, "small_product",
            [("ROWS", "\(problem.m)"), ("OUT", y.dtype == .float32 ? "float" : "bfloat16")])
        try launch(
            kernel, blocks: (problem.n + 3) / 4, threads: 128,
            [
                .tensor(y), .tensor(x), .tensor(weight), .int(problem.n), .int(problem.k / 8), .float(alpha),
            ])
    }
}
