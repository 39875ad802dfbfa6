extension Jinja {
    /// How a value is written: `[[fill]align][sign][#][0][width][,][.precision][type]`.
    struct FormatSpec {
        var fill: Unicode.Scalar = " "
        var align: Unicode.Scalar?
        var sign: Unicode.Scalar?
        var alternate = false
        var width = 0
        var grouping: Unicode.Scalar?
        var precision: Int?
        var type: Unicode.Scalar?

        init() {}

        init(_ text: Text) throws {
            var rest = text.scalars[...]
            let aligns: [Unicode.Scalar] = ["<", ">", "=", "^"]
            if rest.count > 1, aligns.contains(rest[1]) {
                (fill, align) = (rest[0], rest[1])
                rest = rest.dropFirst(2)
            } else if let first = rest.first, aligns.contains(first) {
                align = rest.removeFirst()
            }
            if let first = rest.first, ["+", "-", " "].contains(first) { sign = rest.removeFirst() }
            if rest.first == "z" { throw Failure(.unsupported, "the format 'z' is not supported") }
            if rest.first == "#" {
                rest.removeFirst()
                alternate = true
            }
            if rest.first == "0" {
                rest.removeFirst()
                if align == nil { (fill, align) = ("0", "=") }
            }
            width = try Self.number(&rest) ?? 0
            if let first = rest.first, [",", "_"].contains(first) { grouping = rest.removeFirst() }
            if rest.first == "." {
                rest.removeFirst()
                precision = try Self.number(&rest)
                guard precision != nil else { throw Failure(.value, "Format specifier missing precision") }
            }
            type = rest.popFirst()
            guard rest.isEmpty else { throw Failure(.value, "Invalid format specifier '\(text.string)'") }
        }

        private static func number(_ rest: inout ArraySlice<Unicode.Scalar>) throws -> Int? {
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            if digits.isEmpty { return nil }
            guard let value = Int(Text(digits).string) else {
                throw Failure(.value, "Too many decimal digits in format string")
            }
            return value
        }

        // MARK: Numbers

        func decimal(_ run: Interpreter, _ value: Int) throws -> [Unicode.Scalar] {
            var digits = String(value.magnitude)
            if let precision { digits = try Self.zeros(run, digits, precision) }
            return try number(run, isNegative: value < 0, prefix: "", digits: digits, rest: "")
        }

        /// Hexadecimal, octal or binary.
        func based(_ run: Interpreter, _ value: Int, _ type: Unicode.Scalar) throws -> [Unicode.Scalar] {
            let radix = type == "o" ? 8 : type == "b" ? 2 : 16
            var digits = String(value.magnitude, radix: radix, uppercase: type == "X")
            if let precision { digits = try Self.zeros(run, digits, precision) }
            return try number(
                run, isNegative: value < 0, prefix: alternate ? "0\(type)" : "", digits: digits, rest: "", group: 4)
        }

        func float(_ run: Interpreter, _ value: Double, _ type: Unicode.Scalar) throws -> [Unicode.Scalar] {
            let precision = precision ?? 6
            guard precision <= 1000 else { throw Failure(.limit, "a number has at most 1000 digits behind its point") }
            let text =
                value.isFinite
                ? Numerals.printed("%\(alternate ? "#" : "").\(precision)\(type)", value.magnitude)
                : (value.isNaN ? "nan" : "inf")
            return try float(
                run, isNegative: value.sign == .minus && !value.isNaN, text,
                isUpper: "EFG".unicodeScalars.contains(type))
        }

        func float(_ run: Interpreter, isNegative: Bool, _ text: String, isUpper: Bool = false) throws -> [Unicode
            .Scalar]
        {
            let text = isUpper ? text.uppercased() : text
            let whole = text.prefix { $0.isNumber }
            let isFinite = !whole.isEmpty
            return try number(
                run, isNegative: isNegative, prefix: "", digits: isFinite ? String(whole) : text,
                rest: isFinite ? String(text.dropFirst(whole.count)) : "", groups: isFinite)
        }

        private static func zeros(_ run: Interpreter, _ digits: String, _ count: Int) throws -> String {
            try run.charge(count)
            return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
        }

        private func number(
            _ run: Interpreter, isNegative: Bool, prefix: String, digits: String, rest: String, group: Int = 3,
            groups: Bool = true
        ) throws -> [Unicode.Scalar] {
            let signText = isNegative ? "-" : sign == "+" ? "+" : sign == " " ? " " : ""
            let head = Array((signText + prefix).unicodeScalars)
            var digits = Array(digits.unicodeScalars)
            let tail = Array(rest.unicodeScalars)
            let align = align ?? ">"
            try run.charge(width)
            if let grouping, groups {
                let room = align == "=" && fill == "0" ? width - head.count - tail.count : 0
                digits = Self.grouped(digits, group, grouping, room: room)
            }
            let missing = max(0, width - head.count - digits.count - tail.count)
            let padding = Array(repeating: fill, count: missing)
            switch align {
            case "<": return head + digits + tail + padding
            case "=": return head + padding + digits + tail
            case "^":
                return Array(padding.prefix(missing / 2)) + head + digits + tail
                    + Array(padding.suffix(missing - missing / 2))
            default: return padding + head + digits + tail
            }
        }

        /// Digits with a separator between groups, and zeros in front until they fill the room.
        private static func grouped(
            _ digits: [Unicode.Scalar], _ size: Int, _ separator: Unicode.Scalar, room: Int
        ) -> [Unicode.Scalar] {
            var result: [Unicode.Scalar] = []
            var count = 0
            for digit in digits.reversed() {
                if count > 0, count % size == 0 { result.append(separator) }
                result.append(digit)
                count += 1
            }
            while result.count < room {
                if count % size == 0 { result.append(separator) }
                result.append("0")
                count += 1
            }
            return result.reversed()
        }

        // MARK: Text

        func padded(_ run: Interpreter, _ text: [Unicode.Scalar]) throws -> [Unicode.Scalar] {
            try run.charge(width)
            let missing = max(0, width - text.count)
            switch align {
            case ">": return Array(repeating: fill, count: missing) + text
            case "^":
                let before = missing / 2
                return Array(repeating: fill, count: before) + text + Array(repeating: fill, count: missing - before)
            default: return text + Array(repeating: fill, count: missing)
            }
        }
    }
}
