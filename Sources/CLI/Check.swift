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
        let cases = OperationCatalog.cases.filter { operationCase in
            (op == nil || operationCase.operation == op || operationCase.identifier == op)
                && (dtype != .bfloat16 || operationCase.bfloat16Budget != nil)
        }
        guard !cases.isEmpty else {
            throw ValidationError(
                "--op \(op ?? ""): no such operation; there are \(OperationCatalog.operations.joined(separator: ", "))")
        }
        let checker = OperationChecker(try makeBackend(), dtype: dtype)
        var failures = 0
        for operationCase in cases {
            let rows = try checker.check(operationCase)
            let failed = rows.filter { !$0.passed }
            failures += failed.count
            let worst = rows.filter { $0.budget > 0 }.max { $0.error / $0.budget < $1.error / $1.budget }
            let passing = worst.map { [$0] } ?? []
            let shown = all ? rows : failed.isEmpty ? passing : failed
            for row in shown { try Terminal.line(line(row)) }
        }
        let arithmetic = dtype.rawValue + (checker.usesTF32 ? " with TF32 products" : "")
        try Terminal.line("\(cases.count) cases on \(device.device) in \(arithmetic), \(failures) failures")
        if failures > 0 { throw ExitCode(1) }
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
