import GDNAutograd
import GDNCUDABackend
import GDNData
import GDNModels
import GDNOps
import GDNTensor
import GDNTraining

/// Whole optimiser steps on a GPU, on random tokens: speed, memory, time to the first step, and where the time goes.
package struct CUDATrainingBenchmark {
    /// Sequences a step and tokens a sequence.
    package struct Shape: Sendable, Codable {
        package var batch: Int
        package var length: Int

        package init(batch: Int, length: Int) {
            (self.batch, self.length) = (batch, length)
        }
    }

    /// What was measured at one shape.
    package struct Result: Sendable, Codable {
        package var batch: Int
        package var length: Int
        /// Tokens of a step over the median step.
        package var tokensPerSecond: Double
        /// Milliseconds of the steps, by events on the stream, shortest first.
        package var milliseconds: [Double]
        /// The same by the host's clock.
        package var wallMilliseconds: [Double]
        /// Most memory that tensors had during these steps.
        package var peakBytes: Int
        /// Most memory the pool held.
        package var peakReservedBytes: Int
        /// Loss of the first and of the last step, nats a token.
        package var losses: [Double]
    }

    /// What was measured in one process.
    package struct Report: Sendable, Codable {
        package var device: String
        package var parameters: Int
        /// Seconds since the start of the process: device open, model made, first step done.
        package var secondsToBackend: Double
        package var secondsToModel: Double
        package var secondsToFirstStep: Double
        package var results: [Result]
        /// Device copies, bytes read and written a second.
        package var copyBytesPerSecond: Double?
        /// bfloat16 products of 8192 × 8192 matrices, operations a second.
        package var productFLOPsPerSecond: Double?
        /// One step of the first shape, by kernel.
        package var profile: [ProfileRow]?
    }

    private let configuration: ModelConfiguration
    private let cuda: CUDABackend
    private let model: LanguageModel
    private let step: TrainingStep
    private var report: Report

    /// Makes the model and its optimiser; kernels for steps of `shape` are compiled meanwhile.
    package init(_ configuration: ModelConfiguration, cuda: CUDABackend, shape: Shape, recompute: Bool = false)
        throws
    {
        self.configuration = configuration
        self.cuda = cuda
        let opened = secondsSinceStart()
        func make() throws -> (LanguageModel, TrainingStep) {
            let model = try LanguageModel(configuration, backend: .cuda(cuda), seed: 1)
            let optimizer = try Optimizer(
                model.parameters, on: .cuda(cuda), configuration: AdamWConfiguration(), clip: 1)
            return (model, TrainingStep(model: model, optimizer: optimizer, recompute: recompute))
        }
        let batch = Self.randomBatch(shape, configuration)
        try cuda.rehearse { _ = try make().1.run([batch], learningRate: 1e-4) }
        (model, step) = try make()
        report = Report(
            device: cuda.description.name, parameters: model.parameterCount, secondsToBackend: opened,
            secondsToModel: secondsSinceStart(), secondsToFirstStep: 0, results: [])
    }

    /// Measures `steps` steps of each shape after a warm-up step.
    /// - Parameter progress: told about each shape when it is done
    package mutating func run(
        _ shapes: [Shape], steps: Int, profiles: Bool, progress: (Result) -> Void
    ) throws -> Report {
        for shape in shapes {
            let batch = Self.randomBatch(shape, configuration)
            try cuda.resetPeakMemory()
            let first = try step.run([batch], learningRate: 1e-4)
            if report.results.isEmpty { report.secondsToFirstStep = secondsSinceStart() }
            var (device, wall, last) = ([Double](), [Double](), first.loss)
            for _ in 0..<max(1, steps) {
                let start = ContinuousClock.now
                device.append(try cuda.milliseconds { last = try step.run([batch], learningRate: 1e-4).loss })
                wall.append((ContinuousClock.now - start) / .milliseconds(1))
            }
            (device, wall) = (device.sorted(), wall.sorted())
            let result = Result(
                batch: shape.batch, length: shape.length,
                tokensPerSecond: 1e3 * Double(shape.batch * shape.length) / device[device.count / 2],
                milliseconds: device, wallMilliseconds: wall, peakBytes: try cuda.peakMemoryBytes(),
                peakReservedBytes: try cuda.peakReservedBytes(), losses: [first.loss, last])
            report.results.append(result)
            progress(result)
        }
        if profiles, let shape = shapes.first { try takeProfile(shape) }
        return report
    }

    private mutating func takeProfile(_ shape: Shape) throws {
        let batch = Self.randomBatch(shape, configuration)
        report.profile = try cuda.profile { _ = try step.run([batch], learningRate: 1e-4) }.map(withTableBytes)
        let (a, b) = (try cuda.zeros([1 << 28]), try cuda.zeros([1 << 28]))
        let copies = try (0..<5).map { _ in try cuda.milliseconds { try cuda.copy(a, into: b) } }.sorted()
        report.copyBytesPerSecond = 2 * Double(a.byteCount) / copies[2] * 1e3
        let side = 8192
        let factors = try (0..<2).map { seed in
            var random = Random(seed: UInt64(seed))
            let row = (0..<side * 64).map { _ in BFloat16(Float(random.uniform(-1, 1))).bitPattern }
            let matrix = try cuda.empty([side, side], .bfloat16)
            let part = try cuda.upload(Tensor(host: row, [64, side]))
            for start in stride(from: 0, to: side, by: 64) {
                try cuda.copy(part, into: matrix.slice(start..<start + 64))
            }
            return matrix
        }
        let product = try cuda.empty([side, side], .bfloat16)
        let products = try (0..<7).map { _ in
            try cuda.milliseconds { try cuda.matmul(product, factors[0], factors[1], m: side, n: side, k: side) }
        }.sorted()
        report.productFLOPsPerSecond = 2 * Double(side * side * side) / products[3] * 1e3
    }

    /// Kernels that find their tensors in a table: bytes by the number of parameters.
    private func withTableBytes(_ row: ProfileRow) -> ProfileRow {
        var row = row
        if row.name.hasPrefix("adamw_step") { row.bytes = 30 * Double(report.parameters) }
        if row.name.hasPrefix("sum_of_squares") { row.bytes = 4 * Double(report.parameters) }
        return row
    }

    private static func randomBatch(_ shape: Shape, _ configuration: ModelConfiguration) -> Batch {
        var random = Random(seed: 1)
        let tokens = (0...shape.batch * shape.length).map { _ in
            Int32(random.index(below: configuration.vocabularySize))
        }
        return Batch(
            rows: shape.batch, length: shape.length, tokens: Array(tokens.dropLast()),
            targets: Array(tokens.dropFirst()))
    }
}

/// Seconds since this process was started, by the kernel's account (in hundredths).
private func secondsSinceStart() -> Double {
    guard let file = fopen("/proc/self/stat", "r") else { return .nan }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 4096)
    let count = fread(&text, 1, 4095, file)
    // Fields after the command's closing parenthesis; the start time is field 22 of all.
    let line = String(decoding: text.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    guard let end = line.lastIndex(of: ")") else { return .nan }
    let fields = line[end...].split(separator: " ")
    guard fields.count > 20, let ticks = Double(fields[20]) else { return .nan }
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return Double(now.tv_sec) + 1e-9 * Double(now.tv_nsec) - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
}
