extension Jinja {
    /// A number of either kind. A truth value counts as 0 or 1.
    enum Number {
        case int(Int)
        case float(Double)

        init?(_ value: Value) {
            switch value {
            case .bool(let value): self = .int(value ? 1 : 0)
            case .int(let value): self = .int(value)
            case .float(let value): self = .float(value)
            default: return nil
            }
        }

        var double: Double {
            switch self {
            case .int(let value): Double(value)
            case .float(let value): value
            }
        }

        /// Below, at or above zero; nil with a NaN. Exact between whole numbers and floats.
        func compared(to other: Number) -> Int? {
            switch (self, other) {
            case (.int(let left), .int(let right)): return left < right ? -1 : left == right ? 0 : 1
            case (.float(let left), .float(let right)):
                return left < right ? -1 : left == right ? 0 : left > right ? 1 : nil
            case (.int(let left), .float(let right)):
                guard !right.isNaN else { return nil }
                if right >= 0x1p63 { return -1 }
                if right < -0x1p63 { return 1 }
                let whole = right.rounded(.down)
                let integer = Int(whole)
                return left < integer ? -1 : left > integer ? 1 : right > whole ? -1 : 0
            case (.float, .int): return other.compared(to: self).map { -$0 }
            }
        }
    }

    static func floatText(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let (digits, exponent) = decimal(value.magnitude)
        let sign = value.sign == .minus ? "-" : ""
        if exponent < -4 || exponent >= 16 {
            let fraction = digits.dropFirst()
            let mantissa = String(digits.prefix(1)) + (fraction.isEmpty ? "" : "." + fraction)
            let size = String(abs(exponent))
            return "\(sign)\(mantissa)e\(exponent < 0 ? "-" : "+")\(size.utf8.count < 2 ? "0" : "")\(size)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        let whole = digits.prefix(exponent + 1)
        let fraction = digits.dropFirst(exponent + 1)
        return sign + whole + String(repeating: "0", count: exponent + 1 - whole.count) + "."
            + (fraction.isEmpty ? "0" : fraction)
    }

    /// The shortest digits that give the number back, and the power of ten of the first one.
    private static func decimal(_ value: Double) -> (digits: String, exponent: Int) {
        let parts = value.description.split(separator: "e")
        let mantissa = parts[0].split(separator: ".")
        let whole = String(mantissa[0])
        var digits = whole + (mantissa.count > 1 ? String(mantissa[1]) : "")
        var exponent = whole.count - 1 + (parts.count > 1 ? Int(parts[1]) ?? 0 : 0)
        let zeros = digits.prefix { $0 == "0" }.count
        if zeros == digits.count { return ("0", 0) }
        digits.removeFirst(zeros)
        exponent -= zeros
        while digits.count > 1, digits.hasSuffix("0") { digits.removeLast() }
        return (digits, exponent)
    }
}
