/// Numbers as people read them.
import GDNTensor

/// Formats numbers for lines, tables and reports.
package enum Readable {
    /// A number with a fixed number of decimals.
    package static func fixed(_ value: Double, _ decimals: Int) -> String {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        guard value.isFinite, abs(value) * scale < 1e15 else { return "\(value)" }
        let whole = Int((abs(value) * scale).rounded())
        let (integer, fraction) = whole.quotientAndRemainder(dividingBy: Int(scale))
        let digits = String(fraction)
        let sign = value < 0 && whole != 0 ? "-" : ""
        return sign + String(integer)
            + (decimals == 0 ? "" : "." + String(repeating: "0", count: decimals - digits.count) + digits)
    }

    /// A number with about four digits: `1234`, `12.3`, `1.23`, `0.0123`
    package static func number(_ value: Double) -> String {
        let size = abs(value)
        return fixed(value, size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4)
    }

    /// `4.00e-04`
    package static func scientific(_ value: Double, _ decimals: Int = 2) -> String {
        guard value.isFinite, value != 0 else { return "\(value)" }
        var exponent = Int(log10(abs(value)).rounded(.down))
        var mantissa = value / pow(10, Double(exponent))
        if abs(mantissa) >= 10 - 0.5 * pow(10, -Double(decimals)) {
            mantissa /= 10
            exponent += 1
        }
        let digits = String(abs(exponent))
        return fixed(mantissa, decimals) + "e" + (exponent < 0 ? "-" : "+") + (digits.count < 2 ? "0" + digits : digits)
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
