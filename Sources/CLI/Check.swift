import ArgumentParser
import GatedDeltaNet

/// `gdn check`: every operation against its oracle.
struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compare every operation with its reference: outputs, every gradient, determinism.",
        discussion: "Exit status 1 when anything is over its budget. `--op rms_norm/plain` runs one case.")

    @OptionGroup var device: DeviceOptions

    @OptionGroup var products: ProductOptions

    @Option(help: "Only this operation, or this case of it (operation/case).")
    var op: String?

    @Option(help: "Element type: float32 or bfloat16.")
    var dtype = "float32"

    @Flag(inversion: .prefixedNo, help: "On a GPU: start kernels of a chain beside the one before them.")
    var overlapKernels = true

    @Flag(help: "Print every tensor of every case, not only the worst of each case.")
    var all = false

    func run() throws {
        guard let dtype = DType(rawValue: dtype), dtype == .float32 || dtype == .bfloat16 else {
            throw ValidationError("--dtype \(dtype): expected float32 or bfloat16")
        }
        guard !products.tf32 || dtype == .float32 else {
            throw ValidationError("--tf32 is about float32 products, but --dtype is \(dtype.rawValue)")
        }
        let chosen = OperationCatalog.cases.filter { op == nil || $0.operation == op || $0.identifier == op }
        guard !chosen.isEmpty else {
            throw ValidationError(
                "--op \(op ?? ""): no such operation; there are \(OperationCatalog.operations.joined(separator: ", "))")
        }
        let checker = OperationChecker(try makeBackend(), dtype: dtype, threads: device.threads)
        let cases = chosen.filter(checker.applies)
        guard !cases.isEmpty else {
            throw ValidationError("--op \(op ?? ""): it has no form in \(dtype.rawValue)")
        }
        let summary = try checker.check(cases) { modules in
            Terminal.note("\(modules) modules of kernels, compiled while the first cases run where the cache has none")
        } report: { result in
            try print(result)
        }
        let arithmetic = dtype.rawValue + (checker.usesTF32 ? " with TF32 products" : "")
        try Terminal.line(
            "\(device.device) in \(arithmetic): \(summary.passedCases) cases passed, \(summary.failedCases) failed, "
                + "\(chosen.count - cases.count) skipped; \(summary.passedComparisons) comparisons passed, "
                + "\(summary.failedComparisons) failed")
        if summary.failedCases > 0 { throw ExitCode(1) }
    }

    private func print(_ result: CaseResult) throws {
        if let error = result.error { return try Terminal.line("\(result.identifier) FAILED: \(error)") }
        let failed = result.rows.filter { !$0.passed }
        let worst = result.rows.filter { $0.budget > 0 }.max { $0.error / $0.budget < $1.error / $1.budget }
        let shown = all ? result.rows : failed.isEmpty ? worst.map { [$0] } ?? [] : failed
        for row in shown { try Terminal.line(line(row)) }
    }

    /// On the CPU with poisoned memory, so that reads of what nobody wrote show as NaN.
    private func makeBackend() throws -> Backend {
        try device.makeBackend(allowsTF32: products.tf32, overlapsKernels: overlapKernels, poison: true)
    }

    private func line(_ row: CheckRow) -> String {
        let name = "\(row.identifier) \(row.tensor)"
        let padded = name + String(repeating: " ", count: max(1, 56 - name.count))
        let share = row.budget > 0 ? Readable.fixed(100 * row.error / row.budget, 0) + " %" : "–"
        return padded
            + "error \(Readable.scientific(row.error, 1))  budget \(Readable.scientific(row.budget, 1))  used \(share)"
            + (row.passed ? "" : "  FAILED")
    }
}
