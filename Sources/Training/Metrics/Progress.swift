/// The progress line.

/// Makes the progress line of a step.
package struct Progress: Sendable {
    /// Steps of the whole run.
    package let totalSteps: Int

    /// Progress towards a number of steps.
    package init(totalSteps: Int) {
        self.totalSteps = totalSteps
    }

    /// `step 120/1000  491k tokens  loss 2.3412 (2.3555)  norm 0.81  lr 4.00e-04  1.07k tok/s  24 % peak  0 % waiting for data  1.2 GiB  ETA 3:12`
    /// - Parameter remaining: seconds to the end; nil when not known yet
    package func line(_ record: StepRecord, remaining: Double?) -> String {
        var parts = ["step \(record.step)/\(totalSteps)", "\(Readable.count(Double(record.tokens))) tokens"]
        let loss = record.loss.map { Readable.fixed($0, 4) } ?? "not finite"
        parts.append("loss \(loss)" + (record.smoothedLoss.map { " (\(Readable.fixed($0, 4)))" } ?? ""))
        parts.append("norm " + (record.gradientNorm.map { Readable.fixed($0, 2) } ?? "not finite"))
        parts.append("lr \(Readable.scientific(record.learningRate))")
        parts.append("\(Readable.count(record.tokensPerSecond)) tok/s")
        if let share = record.peakShare { parts.append("\(Readable.fixed(share * 100, 0)) % peak") }
        if let share = record.waitingShare { parts.append("\(Readable.fixed(share * 100, 0)) % waiting for data") }
        parts.append(Readable.bytes(record.memory))
        if let remaining { parts.append("ETA \(Readable.duration(remaining))") }
        if record.skipped > 0 { parts.append("\(record.skipped) skipped") }
        return parts.joined(separator: "  ")
    }
}

/// The mean of a series, weighted towards its latest values: `m ← γ m + (1 − γ) x`, divided by `1 − γⁿ`.
package struct Smoothed: Sendable, Codable, Equatable {
    private var mean = 0.0
    private var weight = 0.0

    /// An empty series.
    package init() {}

    /// Adds a value.
    package mutating func add(_ value: Double, decay: Double = 0.98) {
        mean = decay * mean + (1 - decay) * value
        weight = decay * weight + (1 - decay)
    }

    /// The mean; nil when the series is empty.
    package var value: Double? { weight > 0 ? mean / weight : nil }
}
