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
        guard
            case .cuda(let cuda) = try device.makeBackend(computeType: dtype, allowsTF32: productOptions.tf32)
        else { return }
        var benchmark = try CUDATrainingBenchmark(
            model.configuration, cuda: cuda, shape: shapes[0], recompute: recompute)
        let report = try benchmark.run(shapes, steps: steps, profiles: profile) { result in
            Terminal.note(
                "\(result.batch)x\(result.length): \(Readable.fixed(result.milliseconds[0], 1)) ms at best, "
                    + "\(Readable.fixed(Double(result.peakBytes) / 0x1p30, 2)) GiB")
        }
        if unchecked {
            Terminal.note("the operations were not checked in this run")
        } else {
            try requirePassing(OperationChecker(.cuda(cuda), dtype: dtype))
        }
        if json { return try Terminal.json(report) }
        try Self.printTable(report)
    }

    /// `16x2048`
    private static func parse(_ text: String) throws -> CUDATrainingBenchmark.Shape {
        let numbers = text.split(separator: "x").compactMap { Int($0) }
        guard numbers.count == 2, numbers.allSatisfy({ $0 > 0 }) else {
            throw ValidationError("--shape \(text): expected sequences x tokens, such as 16x2048")
        }
        return CUDATrainingBenchmark.Shape(batch: numbers[0], length: numbers[1])
    }

    private static func printTable(_ report: CUDATrainingBenchmark.Report) throws {
        let seconds = { (value: Double) in Readable.fixed(value, 2) }
        try Terminal.line("\(report.device), \(report.parameters) parameters")
        try Terminal.line(
            "seconds from the start: device \(seconds(report.secondsToBackend)), model "
                + "\(seconds(report.secondsToModel)), first step \(seconds(report.secondsToFirstStep))")
        let gibibytes = { (bytes: Int) in Readable.fixed(Double(bytes) / 0x1p30, 2) }
        let rows = report.results.map { result in
            [
                "\(result.batch)x\(result.length)", Readable.number(result.tokensPerSecond),
                Readable.fixed(result.milliseconds[result.milliseconds.count / 2], 1),
                Readable.fixed(result.wallMilliseconds[result.wallMilliseconds.count / 2], 1),
                gibibytes(result.peakBytes), gibibytes(result.peakReservedBytes),
                result.losses.map { Readable.fixed($0, 3) }.joined(separator: " "),
            ]
        }
        try Terminal.write(
            Terminal.table([["shape", "tokens/s", "ms", "wall ms", "GiB", "GiB held", "losses"]] + rows))
        guard let profile = report.profile, let copy = report.copyBytesPerSecond,
            let rate = report.productFLOPsPerSecond
        else { return }
        try Terminal.line(
            "copy \(Readable.fixed(copy * 1e-12, 2)) TB/s, products \(Readable.fixed(rate * 1e-12, 0)) TFLOP/s")
        let total = profile.reduce(0) { $0 + $1.milliseconds }
        let lines = profile.prefix(48).map { row in
            let floor = 1e3 * max(row.bytes / copy, row.flops / rate)
            return [
                row.name, "\(row.calls)", Readable.fixed(row.milliseconds, 2),
                Readable.fixed(100 * row.milliseconds / total, 1),
                Readable.fixed(row.bytes * 1e-9, 1),
                Readable.fixed(row.flops * 1e-12, 1), Readable.fixed(row.milliseconds / floor, 2),
            ]
        }
        try Terminal.line(
            Terminal.table([["kernel", "calls", "ms", "%", "GB", "TFLOP", "× floor"]] + lines)
                + "all \(Readable.fixed(total, 1)) ms")
    }
}

/// `gdn bench decode --device cuda`: bfloat16.
extension BenchDecode {
    func runOnGPU() throws {
        let model = try BenchmarkModel(preset: preset)
        let backend = try device.makeBackend(computeType: .bfloat16, overlapsKernels: decoding.overlapKernels)
        guard case .cuda(let cuda) = backend else { return }
        let results = try CUDADecodingBenchmark.run(
            model.configuration, cuda: cuda, batches: batch, context: context, tokens: tokens,
            form: decoding.form)
        if unchecked {
            Terminal.note("the operations were not checked in this run")
        } else {
            try requirePassing(OperationChecker(.cuda(cuda), dtype: .bfloat16))
        }
        if json { return try Terminal.json(results) }
        let rows = results.map { result in
            [
                "\(result.batch)", result.form, Readable.fixed(result.milliseconds, 3),
                Readable.number(result.tokensPerSecond), Readable.fixed(Double(result.bytes) * 1e-9, 2),
                Readable.fixed(100 * result.shareOfFloor, 0), Readable.fixed(result.graphMilliseconds, 3),
            ]
        }
        try Terminal.write(
            Terminal.table(
                [["batch", "kernels", "ms", "tokens/s", "GB", "% of the floor's rate", "ms, graphs alone"]] + rows))
    }
}
