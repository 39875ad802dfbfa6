import GDNTensor

extension Jinja {
    /// Numbers written as text and numbers rounded, as Python does both.
    enum Numerals {
        /// `float(value)`; nil when that fails.
        static func float(_ value: Value) -> Double? {
            guard case .text(let text) = value else { return Number(value)?.double }
            let plain = Text(text.stripped()).string
            guard let digits = withoutUnderscores(plain) else { return nil }
            let bare = digits.drop { $0 == "+" || $0 == "-" }.lowercased()
            if ["inf", "infinity", "nan"].contains(bare) {
                guard digits.count - bare.count <= 1 else { return nil }
                return bare == "nan" ? .nan : digits.hasPrefix("-") ? -.infinity : .infinity
            }
            let allowed = digits.utf8.allSatisfy {
                ($0 >= 0x30 && $0 <= 0x39) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains($0)
            }
            guard allowed else { return nil }
            // Swift reads no bare points: "1." and ".5".
            let exponent = digits.firstIndex { $0 == "e" || $0 == "E" } ?? digits.endIndex
            var mantissa = String(digits[..<exponent])
            guard mantissa.contains(where: \.isNumber) else { return nil }
            if mantissa.hasSuffix(".") { mantissa += "0" }
            return Double(mantissa + digits[exponent...])
        }

        /// `int(text, base)`; nil when that fails.
        /// - Throws: when the number does not fit 64 bits.
        static func integer(_ text: Text, base: Int) throws -> Int? {
            guard base == 0 || (2...36).contains(base) else { return nil }
            var digits = Text(text.stripped()).string.lowercased()
            var sign = ""
            if let first = digits.first, first == "-" || first == "+" {
                sign = String(digits.removeFirst())
            }
            var radix = base
            for (prefix, value) in [("0b", 2), ("0o", 8), ("0x", 16)]
            where (base == value || base == 0) && digits.hasPrefix(prefix) {
                digits.removeFirst(2)
                radix = value
                if digits.hasPrefix("_") { digits.removeFirst() }
            }
            guard let plain = withoutUnderscores(digits), !plain.isEmpty else { return nil }
            if radix == 0 {
                if plain.hasPrefix("0"), plain.contains(where: { $0 != "0" }) { return nil }
                radix = 10
            }
            let isNumber = plain.unicodeScalars.allSatisfy {
                $0.isASCII && (Character($0).isLetter || Character($0).isNumber)
                    && Int(String($0), radix: 36).map { $0 < radix } == true
            }
            guard isNumber else { return nil }
            guard let value = Int(sign + plain, radix: radix) else {
                throw Failure(.limit, "a whole number does not fit 64 bits")
            }
            return value
        }

        /// Single underscores between digits are allowed.
        private static func withoutUnderscores(_ text: String) -> String? {
            let scalars = Array(text.unicodeScalars)
            for (index, scalar) in scalars.enumerated() where scalar == "_" {
                guard index > 0, index + 1 < scalars.count, scalars[index - 1].properties.isASCIIHexDigitOrLetter,
                    scalars[index + 1].properties.isASCIIHexDigitOrLetter
                else { return nil }
            }
            return text.filter { $0 != "_" }
        }

        static func truncated(_ value: Double, or standard: Value, _ run: Interpreter) throws -> Value {
            if value.isNaN { return standard }
            if value.isInfinite { throw Failure(.value, "cannot convert float infinity to integer") }
            guard let whole = Int(exactly: value.rounded(.towardZero)) else { throw run.overflow64 }
            return .int(whole)
        }

        /// `round(value, precision)`: halves of the exact decimal value go to the even digit.
        static func rounded(_ number: Number, _ precision: Int, _ run: Interpreter) throws -> Value {
            switch number {
            case .int(let value):
                if precision >= 0 { return .int(value) }
                guard precision >= -18 else { return .int(0) }
                guard case .int(let unit) = try run.binary(.power, .int(10), .int(-precision)) else { return .int(0) }
                let rest = ((value % unit) + unit) % unit
                let (base, underflow) = value.subtractingReportingOverflow(rest)
                let goesUp = rest > unit - rest || (rest == unit - rest && (base / unit) % 2 != 0)
                let (result, overflow) = base.addingReportingOverflow(goesUp ? unit : 0)
                guard !underflow, !overflow else { throw run.overflow64 }
                return .int(result)
            case .float(let value):
                guard value.isFinite, precision < 324 else { return .float(value) }
                if precision < -308 { return .float(Double(signOf: value, magnitudeOf: 0)) }
                if precision >= 0 { return .float(Double(printed("%.\(precision)f", value)) ?? value) }
                let unit = pow(10, Double(-precision))
                return .float((value / unit).rounded(.toNearestOrEven) * unit)
            }
        }

        /// A number by a format of the C library.
        static func printed(_ format: String, _ value: Double) -> String {
            withUnsafeTemporaryAllocation(of: CChar.self, capacity: 2048) { buffer in
                let length = withVaList([value]) { vsnprintf(buffer.baseAddress, buffer.count, format, $0) }
                let count = max(0, min(buffer.count - 1, Int(length)))
                return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            }
        }
    }
}

extension Unicode.Scalar.Properties {
    fileprivate var isASCIIHexDigitOrLetter: Bool { isASCIIHexDigit || numericType != nil || isAlphabetic }
}
