/// The progress line, and numbers as people read them.
import GDNTensor

/// Formats numbers for lines, tables and reports.
package enum Readable {
    /// A number with a fixed number of decimals.
    package static func fixed(_ value: Double, _ decimals: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let whole = Int((abs(value) * scale).rounded())
        let (integer, fraction) = whole.quotientAndRemainder(dividingBy: Int(scale))
        let digits = String(fraction)
        let sign = value < 0 && whole != 0 ? "-" : ""
        return sign + String(integer)
            + (decimals == 0 ? "" : "." + String(repeating: "0", count: decimals - digits.count) + digits)
    }

    /// `4.00e-04`
    package static func scientific(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        var exponent = Int(log10(abs(value)).rounded(.down))
        var mantissa = value / pow(10, Double(exponent))
        if abs(mantissa) >= 9.995 {
            mantissa /= 10
            exponent += 1
        }
        let digits = String(abs(exponent))
        return fixed(mantissa, 2) + "e" + (exponent < 0 ? "-" : "+") + (digits.count < 2 ? "0" + digits : digits)
    }

    /// `950`, `12.3k`, `4.10M`, `1.31B`
    package static func count(_ value: Double) -> String {
        for (limit, unit) in [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")] where abs(value) >= limit * 0.9995 {
            let scaled = value / limit
            return fixed(scaled, abs(scaled) >= 99.95 ? 0 : abs(scaled) >= 9.995 ? 1 : 2) + unit
        }
        return fixed(value, 0)
    }

    /// `512 MiB`, `1.2 GiB`
    package static func bytes(_ count: Int) -> String {
        let gib = Double(count) / 0x1p30
        return gib >= 1 ? fixed(gib, 1) + " GiB" : fixed(Double(count) / 0x1p20, 0) + " MiB"
    }

    /// `0:42`, `3:12`, `2:05:07`, `3 d 4:00:00`
    package static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e11 else { return "–" }
        let total = Int(seconds.rounded())
        let two = { (value: Int) in value < 10 ? "0\(value)" : "\(value)" }
        let clock = total % 86_400
        let days = total >= 86_400 ? "\(total / 86_400) d " : ""
        if total < 3600 { return "\(clock / 60):\(two(clock % 60))" }
        return "\(days)\(clock / 3600):\(two(clock / 60 % 60)):\(two(clock % 60))"
    }
}

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
