import ArgumentParser
import GDNBenchmarks
import GDNOps
import GatedDeltaNet

/// `gdn bench train --device cuda`.
extension BenchTrain {
    func runOnGPU(_ model: BenchmarkModel) throws {
        guard let dtype = DType(rawValue: dtype), dtype == .float32 || dtype == .bfloat16 else {
            throw ValidationError("--dtype \(dtype): expected float32 or bfloat16")
        }
        let shapes =
            try shape.isEmpty
            ? [CUDATrainingBenchmark.Shape(batch: batch, length: length)] : shape.map(Self.parse)
        guard case .cuda(let cuda) = try device.makeBackend(computeType: dtype) else { return }
        var benchmark = try CUDATrainingBenchmark(
            model.configuration, cuda: cuda, shape: shapes[0], recompute: recompute)
        let report = try benchmark.run(shapes, steps: steps, profiles: profile) { result in
            Terminal.note(
                "\(result.batch)x\(result.length): \(Terminal.fixed(result.milliseconds[0], decimals: 1)) ms at best, "
                    + "\(Terminal.fixed(Double(result.peakBytes) / 0x1p30, decimals: 2)) GiB")
        }
        if unchecked {
            Terminal.note("the operations were not checked in this run")
        } else {
            try requirePassing(OperationChecker(.cuda(cuda), dtype: dtype))
        }
        if json { return try Terminal.json(report) }
        Self.printTable(report)
    }

    /// `16x2048`
    private static func parse(_ text: String) throws -> CUDATrainingBenchmark.Shape {
        let numbers = text.split(separator: "x").compactMap { Int($0) }
        guard numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
            throw ValidationError("--shape \(text): expected sequences x tokens, such as 16x2048")
        }
        return CUDATrainingBenchmark.Shape(batch: numbers[0], length: numbers[1])
    }

    private static func printTable(_ report: CUDATrainingBenchmark.Report) {
        let seconds = { (value: Double) in Terminal.fixed(value, decimals: 2) }
        print("\(report.device), \(report.parameters) parameters")
        print(
            "seconds from the start: device \(seconds(report.secondsToBackend)), model "
                + "\(seconds(report.secondsToModel)), first step \(seconds(report.secondsToFirstStep))")
        let gibibytes = { (bytes: Int) in Terminal.fixed(Double(bytes) / 0x1p30, decimals: 2) }
        let rows = report.results.map { result in
            [
                "\(result.batch)x\(result.length)", Terminal.number(result.tokensPerSecond),
                Terminal.fixed(result.milliseconds[result.milliseconds.count / 2], decimals: 1),
                Terminal.fixed(result.wallMilliseconds[result.wallMilliseconds.count / 2], decimals: 1),
                gibibytes(result.peakBytes), gibibytes(result.peakReservedBytes),
                result.losses.map { Terminal.fixed($0, decimals: 3) }.joined(separator: " "),
            ]
        }
        print(
            Terminal.table([["shape", "tokens/s", "ms", "wall ms", "GiB", "GiB held", "losses"]] + rows),
            terminator: "")
        guard let profile = report.profile, let copy = report.copyBytesPerSecond,
            let rate = report.productFLOPsPerSecond
        else { return }
        print(
            "copy \(Terminal.fixed(copy * 1e-12, decimals: 2)) TB/s, products \(Terminal.fixed(rate * 1e-12, decimals: 0)) TFLOP/s"
        )
        let total = profile.reduce(0) { $0 + $1.milliseconds }
        let lines = profile.prefix(48).map { row in
            let floor = 1e3 * max(row.bytes / copy, row.flops / rate)
            return [
                row.name, "\(row.calls)", Terminal.fixed(row.milliseconds, decimals: 2),
                Terminal.fixed(100 * row.milliseconds / total, decimals: 1),
                Terminal.fixed(row.bytes * 1e-9, decimals: 1),
                Terminal.fixed(row.flops * 1e-12, decimals: 1), Terminal.fixed(row.milliseconds / floor, decimals: 2),
            ]
        }
        print(
            Terminal.table([["kernel", "calls", "ms", "%", "GB", "TFLOP", "× floor"]] + lines)
                + "all \(Terminal.fixed(total, decimals: 1)) ms", terminator: "\n")
    }
}

/// `gdn bench decode --device cuda`: bfloat16.
extension BenchDecode {
    func runOnGPU() throws {
        let model = try BenchmarkModel(preset: preset)
        guard case .cuda(let cuda) = try device.makeBackend(computeType: .bfloat16) else { return }
        let results = try CUDADecodingBenchmark.run(
            model.configuration, cuda: cuda, batches: batch, context: context, tokens: tokens)
        if unchecked {
            Terminal.note("the operations were not checked in this run")
        } else {
            try requirePassing(OperationChecker(.cuda(cuda), dtype: .bfloat16))
        }
        if json { return try Terminal.json(results) }
        let rows = results.map { result in
            [
                "\(result.batch)", Terminal.fixed(result.milliseconds, decimals: 3),
                Terminal.number(result.tokensPerSecond), Terminal.fixed(Double(result.bytes) * 1e-9, decimals: 2),
                Terminal.fixed(100 * result.shareOfFloor, decimals: 0),
            ]
        }
        print(
            Terminal.table([["batch", "ms", "tokens/s", "GB", "% of the floor's rate"]] + rows), terminator: "")
    }
}
