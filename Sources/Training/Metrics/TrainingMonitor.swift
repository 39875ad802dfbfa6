/// Where the trainer reports to: metrics file, events, progress line.
import GDNTensor

/// Receives what happens in training.
package protocol TrainingMonitor: AnyObject {
    /// A step is done.
    /// - Parameters:
    ///   - seconds: what the step took
    ///   - isLogged: whether it is to be recorded, not only shown
    func stepped(
        _ state: TrainerState, _ result: TrainingStep.Result, learningRate: Double, seconds: Double, isLogged: Bool)
        throws
    /// Evaluations and samples were made.
    func record(_ records: [MetricsRecord]) throws
}

/// A monitor that drops everything.
package final class SilentMonitor: TrainingMonitor {
    /// Drops everything.
    package init() {}
    package func stepped(
        _ state: TrainerState, _ result: TrainingStep.Result, learningRate: Double, seconds: Double, isLogged: Bool
    ) {}
    package func record(_ records: [MetricsRecord]) {}
}

/// Writes `metrics.jsonl`, hands every record to further sinks, and shows progress.
package final class RunMonitor: TrainingMonitor {
    private let log: MetricsLog
    private let console: Console
    private let progress: Progress
    private let flopsPerToken: Double
    private let peak: Double?
    private let sinks: [(MetricsRecord) throws -> Void]
    private let started = ContinuousClock.now
    private var stepsHere = 0
    private var interval = (tokens: 0, seconds: 0.0, waiting: 0.0)
    private var lastShown: ContinuousClock.Instant?

    /// A monitor of a run.
    /// - Parameters:
    ///   - flopsPerToken: of the model's training step
    ///   - peak: floating-point operations a second of matrix products on this machine; nil when not measured
    ///   - sinks: receive every record too
    package init(
        log: MetricsLog, console: Console, progress: Progress, flopsPerToken: Double, peak: Double?,
        sinks: [(MetricsRecord) throws -> Void] = []
    ) {
        self.log = log
        self.console = console
        self.progress = progress
        self.flopsPerToken = flopsPerToken
        self.peak = peak
        self.sinks = sinks
    }

    package func stepped(
        _ state: TrainerState, _ result: TrainingStep.Result, learningRate: Double, seconds: Double, isLogged: Bool
    ) throws {
        stepsHere += 1
        interval.tokens += result.tokens
        interval.seconds += seconds
        interval.waiting += result.waiting
        let rate = Double(interval.tokens) / max(interval.seconds, 1e-9)
        let record = StepRecord(
            step: state.step, tokens: state.tokens, loss: finite(result.loss), smoothedLoss: state.smoothed.value,
            gradientNorm: finite(result.gradientNorm), learningRate: learningRate, tokensPerSecond: rate,
            peakShare: peak.map { rate * flopsPerToken / $0 }, memory: ProcessMemory.resident, seconds: state.seconds,
            skipped: state.counters.skipped, waitingShare: interval.waiting / max(interval.seconds, 1e-9))
        let elapsed = (ContinuousClock.now - started) / .seconds(1)
        let remaining = elapsed / Double(stepsHere) * Double(progress.totalSteps - state.step)
        let line = progress.line(record, remaining: stepsHere > 1 ? remaining : nil)
        if isLogged {
            interval = (0, 0, 0)
            try write(.step(record))
            if !console.isTerminal || !result.updated { console.line(line) }
        }
        let now = ContinuousClock.now
        if isLogged || lastShown.map({ now - $0 > .milliseconds(100) }) ?? true {
            console.live(line)
            lastShown = now
        }
    }

    package func record(_ records: [MetricsRecord]) throws {
        for item in records {
            try write(item)
            switch item {
            case .evaluation(let found): console.line(Self.line(found))
            case .sample(let step, let prompt, let text): console.line("sample at step \(step): \(prompt)\(text)")
            case .step, .resume: break
            }
        }
    }

    /// `evaluation at step 100, length 512: loss 1.2345, perplexity 3.44, 1.781 bits/byte (12.3k tokens)`
    package static func line(_ record: EvaluationRecord) -> String {
        var parts = [
            "loss \(Readable.fixed(record.loss, 4))", "perplexity \(Readable.fixed(record.perplexity, 2))",
        ]
        if let bits = record.bitsPerByte { parts.append("\(Readable.fixed(bits, 3)) bits/byte") }
        if let accuracy = record.accuracy { parts.append("accuracy \(Readable.fixed(accuracy * 100, 2)) %") }
        return "evaluation at step \(record.step), length \(record.length): \(parts.joined(separator: ", ")) "
            + "(\(Readable.count(Double(record.tokens))) tokens)"
    }

    private func write(_ record: MetricsRecord) throws {
        try log.write(record)
        for sink in sinks { try sink(record) }
    }

    private func finite(_ value: Double) -> Double? { value.isFinite ? value : nil }
}
