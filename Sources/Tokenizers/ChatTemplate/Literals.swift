extension Jinja {
    /// Escapes of a string literal, as Python's `unicode-escape` decodes them.
    enum StringLiteral {
        private static let plain: [Unicode.Scalar: Unicode.Scalar] = [
            "\\": "\\", "'": "'", "\"": "\"", "a": "\u{7}", "b": "\u{8}", "f": "\u{c}", "n": "\n", "r": "\r",
            "t": "\t", "v": "\u{b}",
        ]

        static func decode(_ text: ArraySlice<Unicode.Scalar>) throws -> [Unicode.Scalar] {
            var result: [Unicode.Scalar] = []
            var rest = text
            while let scalar = rest.popFirst() {
                guard scalar == "\\", let escape = rest.popFirst() else {
                    result.append(scalar)
                    continue
                }
                if let plain = plain[escape] {
                    result.append(plain)
                } else {
                    switch escape {
                    case "\n": break
                    case "0"..."7": try result.append(octal(from: escape, &rest))
                    case "x": try result.append(hexadecimal(2, &rest))
                    case "u": try result.append(hexadecimal(4, &rest))
                    case "U": try result.append(hexadecimal(8, &rest))
                    case "N": throw Failure(.unsupported, "characters by name (\\N) are not supported")
                    case _ where escape.isASCII: result += ["\\", escape]
                    // Jinja makes other characters escapes first, and the backslash before one escapes that one's.
                    default: result += "\\\(spelled(escape))".unicodeScalars
                    }
                }
            }
            return result
        }

        private static func spelled(_ scalar: Unicode.Scalar) -> String {
            let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
            let digits = String(scalar.value, radix: 16)
            return letter + String(repeating: "0", count: width - digits.count) + digits
        }

        private static func octal(
            from first: Unicode.Scalar, _ rest: inout ArraySlice<Unicode.Scalar>
        ) throws -> Unicode.Scalar {
            var value = first.value - 0x30
            for _ in 0..<2 {
                guard let next = rest.first, ("0"..."7").contains(next) else { break }
                value = value * 8 + next.value - 0x30
                rest.removeFirst()
            }
            return Unicode.Scalar(value) ?? "\0"
        }

        private static func hexadecimal(
            _ width: Int, _ rest: inout ArraySlice<Unicode.Scalar>
        ) throws -> Unicode.Scalar {
            let digits = String(String.UnicodeScalarView(rest.prefix(width)))
            guard digits.unicodeScalars.count == width, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
                let value = UInt32(digits, radix: 16)
            else { throw Failure(.syntax, "an escape in the string needs \(width) hexadecimal digits") }
            guard let scalar = Unicode.Scalar(value) else {
                throw Failure(.syntax, "an escape in the string is no Unicode character")
            }
            rest.removeFirst(width)
            return scalar
        }
    }

    /// Number literals.
    enum NumberLiteral {
        /// The number that begins at `start`, and where it ends; nil when none does, a nil kind when it is too large.
        static func read(
            _ source: [Unicode.Scalar], from start: Int
        ) throws -> (kind: Token.Kind?, end: Int)? {
            guard isDigit(source, start) else { return nil }
            if start == 0 || source[start - 1] != ".", let float = float(source, from: start) { return float }
            for (letter, radix) in [("b", 2), ("o", 8), ("x", 16)]
            where source[start] == "0" && start + 1 < source.count
                && String(source[start + 1]).lowercased() == letter
            {
                let end = digits(source, from: start + 2, radix: radix, mayBeginWithUnderscore: true)
                if end > start + 2 { return integer(source[(start + 2)..<end], radix: radix, end: end) }
            }
            if source[start] == "0" {
                var end = start + 1
                while end < source.count {
                    let next = source[end] == "_" ? end + 1 : end
                    guard next < source.count, source[next] == "0" else { break }
                    end = next + 1
                }
                return (.int(0), end)
            }
            let end = digits(source, from: start)
            return integer(source[start..<end], radix: 10, end: end)
        }

        private static func float(_ source: [Unicode.Scalar], from start: Int) -> (Token.Kind?, Int)? {
            var end = digits(source, from: start)
            var isFloat = false
            if end < source.count, source[end] == ".", isDigit(source, end + 1) {
                end = digits(source, from: end + 1)
                isFloat = true
            }
            if end < source.count, source[end] == "e" || source[end] == "E" {
                var exponent = end + 1
                if exponent < source.count, source[exponent] == "+" || source[exponent] == "-" { exponent += 1 }
                if isDigit(source, exponent) {
                    end = digits(source, from: exponent)
                    isFloat = true
                }
            }
            guard isFloat else { return nil }
            let text = Text(source[start..<end].filter { $0 != "_" }).string
            return (Double(text).map { .float($0) }, end)
        }

        private static func integer(
            _ digits: ArraySlice<Unicode.Scalar>, radix: Int, end: Int
        ) -> (Token.Kind?, Int) {
            (Int(Text(digits.filter { $0 != "_" }).string, radix: radix).map { .int($0) }, end)
        }

        /// Behind the digits from `start` on, which single underscores may part.
        private static func digits(
            _ source: [Unicode.Scalar], from start: Int, radix: Int = 10, mayBeginWithUnderscore: Bool = false
        ) -> Int {
            func fits(_ place: Int) -> Bool {
                guard place < source.count, source[place].isASCII else { return false }
                return (Character(source[place]).hexDigitValue ?? radix) < radix
            }
            var end = start
            while true {
                if fits(end) {
                    end += 1
                } else if end > start || mayBeginWithUnderscore, end < source.count, source[end] == "_", fits(end + 1) {
                    end += 2
                } else {
                    return end
                }
            }
        }

        private static func isDigit(_ source: [Unicode.Scalar], _ place: Int) -> Bool {
            place < source.count && ("0"..."9").contains(source[place])
        }
    }
}
