import ArgumentParser
import FoundationEssentials
import GDNBenchmarks
import GDNCPUBackend
import GDNOps
import GatedDeltaNet

/// `gdn bench`: speed on this machine.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure speed: operations, training steps, decoding, data.",
        subcommands: [BenchOps.self, BenchTrain.self, BenchDecode.self, BenchLength.self, BenchData.self])
}

/// `gdn bench ops`: every operation's largest cases.
struct BenchOps: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ops", abstract: "Time operations; no figure for one whose check fails in the same run.")

    @OptionGroup var device: DeviceOptions

    @OptionGroup var productOptions: ProductOptions

    @Option(help: "Only this operation, or this case of it (operation/case).")
    var op: String?

    @Option(help: "Timed runs a case.")
    var runs = 7

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let cases = OperationCatalog.cases.filter {
            op == nil ? $0.isBenchmark : $0.operation == op && $0.isBenchmark || $0.identifier == op
        }
        guard !cases.isEmpty else { throw ValidationError("--op \(op ?? ""): no case to time") }
        let timed = try device.makeBackend(allowsTF32: productOptions.tf32)
        var results: [OperationBenchmark.Result] = []
        for operationCase in cases {
            let checked = Backend.cpu(CPUBackend(threads: device.threads, poison: true))
            guard let result = try OperationBenchmark.run(operationCase, checked: checked, timed: timed, runs: runs)
            else {
                Terminal.note("\(operationCase.identifier): fails its check, so no figure is given")
                continue
            }
            results.append(result)
        }
        if json { return try Terminal.json(results) }
        let header = ["case", "forward ms", "backward ms", "GFLOP/s", "GB/s"]
        try Terminal.write(
            Terminal.table(
                [header]
                    + results.map { result in
                        [
                            result.identifier, Readable.number(1e3 * result.forward.median),
                            Readable.number(1e3 * result.backward.median), Readable.number(result.gigaflops),
                            Readable.number(result.gigabytesPerSecond),
                        ]
                    }))
        if results.count < cases.count { throw ExitCode(1) }
    }
}

/// `gdn bench train`: whole optimiser steps and forward passes.
struct BenchTrain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train",
        abstract: "Time training steps and forward passes; compare with the step's matrix products alone.")

    @OptionGroup var device: DeviceOptions

    @OptionGroup var productOptions: ProductOptions

    @Option(help: "Preset of the model.")
    var preset = "cpu-8m"

    @Option(help: "Sequences a step.")
    var batch = 8

    @Option(help: "Tokens a sequence.")
    var length = 512

    @Option(help: "On a GPU: several shapes, each sequences x tokens (16x2048), in one process.")
    var shape: [String] = []

    @Option(help: "On a GPU: float32 or bfloat16 activations; parameters are float32.")
    var dtype = "bfloat16"

    @Flag(help: "On a GPU: compute every block twice to save memory.")
    var recompute = false

    @Flag(help: "On a GPU: give figures without checking the operations in the same run.")
    var unchecked = false

    @Flag(help: "On a GPU: also tell where one step of the first shape spends its time.")
    var profile = false

    @Option(help: "Timed steps.")
    var steps = 7

    @Flag(help: "Also time the step's matrix products with every library found.")
    var products = false

    @Flag(help: "Print JSON.")
    var json = false

    private struct Report: Encodable {
        var training: TrainingBenchmark.Result
        var productSeconds: Double?
        var stepOverProducts: Double?
        var products: [MatrixProductFloor.Row]?
    }

    func run() throws {
        let model = try BenchmarkModel(preset: preset, batch: batch, length: length)
        if case .cuda? = Device(device.device) { return try runOnGPU(model) }
        let cpu = try passingCPU(device)
        var report = Report(training: try TrainingBenchmark.run(model, cpu: cpu, steps: steps))
        if products {
            let libraries = MatrixProductLibrary.allCases.filter { $0 != .automatic }.compactMap { library in
                let backend = CPUBackend(threads: device.threads, matrixProducts: library)
                return backend.matrixProductDescription.hasSuffix("is not installed")
                    ? nil : (library.rawValue, backend)
            }
            let rows = MatrixProductFloor.measure(
                MatrixProductFloor.products(model.configuration, rows: model.tokensPerStep), libraries: libraries)
            let rule = MatrixProductFloor.measureRule(
                model.configuration, tokens: model.tokensPerStep, libraries: libraries)
            let total = rows.reduce(rule.seconds) { $0 + $1.floor }
            report.products = rows
            report.productSeconds = total
            report.stepOverProducts = report.training.step.median / total
        }
        if json { return try Terminal.json(report) }
        let training = report.training
        try Terminal.line("matrix products: \(training.library), \(training.threads) threads")
        try Terminal.line("training  \(Readable.number(training.trainingTokensPerSecond)) tokens/s")
        try Terminal.line("forward   \(Readable.number(training.forwardTokensPerSecond)) tokens/s")
        try Terminal.line("memory    \(Readable.number(Double(training.peakBytes) / 0x1p20)) MiB at most")
        if let seconds = report.productSeconds, let ratio = report.stepOverProducts {
            try Terminal.line(
                "products  \(Readable.number(1e3 * seconds)) ms of the step at the fastest library's rate")
            try Terminal.line("a step costs \(Readable.fixed(ratio, 2)) × its matrix products")
        }
    }
}

/// `gdn bench decode`: one token after another.
struct BenchDecode: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Time generating one token after another, batch 1.")

    @OptionGroup var device: DeviceOptions
    @OptionGroup var decoding: DecodingOptionGroup

    @Option(help: "Preset of the model.")
    var preset = "cpu-8m"

    @Option(help: "Timed tokens.")
    var tokens = 256

    @Option(help: "On a GPU: numbers of sequences.")
    var batch: [Int] = [1, 64]

    @Option(help: "On a GPU: tokens before the first that is timed.")
    var context = 512

    @Flag(help: "On a GPU: give figures without checking the operations in the same run.")
    var unchecked = false

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        if case .cuda? = Device(device.device) { return try runOnGPU() }
        let cpu = try passingCPU(device)
        let result = try DecodingBenchmark.run(BenchmarkModel(preset: preset), cpu: cpu, tokens: tokens)
        if json { return try Terminal.json(result) }
        try Terminal.line("matrix products: \(result.library), \(result.threads) threads")
        try Terminal.line("decoding  \(Readable.number(result.tokensPerSecond)) tokens/s, batch 1")
        try Terminal.line(
            "weights   \(Readable.number(Double(result.weightBytes) * result.tokensPerSecond * 1e-9)) GB/s read")
    }
}

/// `gdn bench length`: growth with the length of the sequence.
struct BenchLength: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "length", abstract: "Time one sequence of growing length: the gated delta rule, and a whole model."
    )

    @OptionGroup var device: DeviceOptions

    @Option(help: "Preset of the model.")
    var preset = "cpu-8m"

    @Option(help: "The whole model up to this many tokens.")
    var modelLimit = 16_384

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let cpu = try passingCPU(device)
        let results = try LengthBenchmark.run(
            BenchmarkModel(preset: preset).configuration, cpu: cpu,
            lengths: (10...16).map { 1 << $0 }, modelLimit: modelLimit)
        if json { return try Terminal.json(results) }
        let header = ["tokens", "rule ms", "µs/token", "rule MiB", "model ms", "µs/token", "model MiB"]
        let rows = results.map { result in
            let length = Double(result.length)
            return [
                "\(result.length)", Readable.number(1e3 * result.ruleSeconds),
                Readable.number(1e6 * result.ruleSeconds / length),
                Readable.number(Double(result.rulePeakBytes) / 0x1p20),
                result.stepSeconds.map { Readable.number(1e3 * $0) } ?? "–",
                result.stepSeconds.map { Readable.number(1e6 * $0 / length) } ?? "–",
                result.stepPeakBytes.map { Readable.number(Double($0) / 0x1p20) } ?? "–",
            ]
        }
        try Terminal.write(Terminal.table([header] + rows))
    }
}

/// The CPU backend to time on, once the operations have passed their checks there.
private func passingCPU(_ device: DeviceOptions) throws -> CPUBackend {
    guard case .cpu(let cpu) = try device.makeBackend() else {
        throw ValidationError("--device \(device.device): only cpu is measured here")
    }
    try requirePassing(threads: device.threads)
    return cpu
}

/// Refuses to time a model one of whose operations is wrong here.
private func requirePassing(threads: Int?) throws {
    try requirePassing(OperationChecker(.cpu(CPUBackend(threads: threads, poison: true))))
}

/// Refuses to time a model one of whose operations is wrong on this device.
func requirePassing(_ checker: OperationChecker) throws {
    _ = try checker.check(OperationCatalog.cases.filter { $0.tiny && checker.applies(to: $0) }) { result in
        guard !result.passed else { return }
        let tensor = result.rows.first { !$0.passed }?.tensor
        let what = result.error.map { ": \($0)" } ?? tensor.map { " \($0)" } ?? ""
        Terminal.note("\(result.identifier)\(what) fails its check, so no figure is given: run gdn check")
        throw ExitCode(1)
    }
}
