/// `format.format(values)`: replacement fields in braces.
extension Jinja.Interpreter {
    func formatted(_ format: Jinja.Text, _ given: Jinja.Arguments) throws -> Value {
        var counter = 0
        let result = try expanded(format.scalars, given, &counter, escapes: format.isMarkup, depth: 2)
        return .text(Jinja.Text(result, isMarkup: format.isMarkup))
    }

    private func expanded(
        _ format: [Unicode.Scalar], _ given: Jinja.Arguments, _ counter: inout Int, escapes: Bool, depth: Int
    ) throws -> [Unicode.Scalar] {
        guard depth >= 0 else { throw Failure(.value, "Max string recursion exceeded") }
        try charge(format.count)
        var result: [Unicode.Scalar] = []
        var index = 0
        while index < format.count {
            let scalar = format[index]
            let isDoubled = index + 1 < format.count && format[index + 1] == scalar
            if (scalar == "{" || scalar == "}") && isDoubled {
                result.append(scalar)
                index += 2
            } else if scalar == "{" {
                let end = try fieldEnd(format, from: index + 1)
                let text = try field(format[(index + 1)..<end], given, &counter, escapes: escapes, depth: depth)
                try charge(text.count)
                result += text
                index = end + 1
            } else if scalar == "}" {
                throw Failure(.value, "Single '}' encountered in format string")
            } else {
                result.append(scalar)
                index += 1
            }
        }
        return result
    }

    private func fieldEnd(_ format: [Unicode.Scalar], from start: Int) throws -> Int {
        var depth = 1
        for index in start..<max(start, format.count) {
            depth += format[index] == "{" ? 1 : format[index] == "}" ? -1 : 0
            if depth == 0 { return index }
        }
        throw Failure(.value, "expected '}' before end of string")
    }

    /// `name!conversion:spec`
    private func field(
        _ field: ArraySlice<Unicode.Scalar>, _ given: Jinja.Arguments, _ counter: inout Int, escapes: Bool, depth: Int
    ) throws -> [Unicode.Scalar] {
        var bracket = false
        let nameEnd =
            field.firstIndex { scalar in
                bracket = scalar == "[" ? true : scalar == "]" ? false : bracket
                return !bracket && (scalar == "!" || scalar == ":")
            } ?? field.endIndex
        var value = try named(field[..<nameEnd], given, &counter)
        var rest = field[nameEnd...]
        var isConverted = false
        if rest.first == "!" {
            guard rest.count >= 2 else { throw Failure(.value, "unmatched '{' in format spec") }
            let conversion = rest[rest.startIndex + 1]
            rest = rest.dropFirst(2)
            guard rest.isEmpty || rest.first == ":" else {
                throw Failure(.value, "expected ':' after conversion specifier")
            }
            switch conversion {
            case "s": value = .string(try string(value))
            case "r": value = .string(try representation(value))
            default: throw Failure(.unsupported, "the conversion '!\(conversion)' is not supported")
            }
            isConverted = true
        }
        let spec = try expanded(Array(rest.dropFirst()), given, &counter, escapes: escapes, depth: depth - 1)
        let text = Jinja.Text(try self.formatted(value, by: Jinja.Text(spec)))
        return escapes ? (isConverted ? text.escaped : try escapedValue(value, text)).scalars : text.scalars
    }

    /// The value of `0.name[key]`.
    private func named(
        _ path: ArraySlice<Unicode.Scalar>, _ given: Jinja.Arguments, _ counter: inout Int
    ) throws -> Value {
        let first = path.prefix { $0 != "." && $0 != "[" }
        var rest = path.dropFirst(first.count)
        // `{.name}` has no number that could be counted on from: Python before 3.13 looks for an argument called "".
        guard !first.isEmpty || rest.isEmpty else {
            throw Failure(.value, "the field '\(Jinja.Text(path).string)' names no argument: write its number")
        }
        var value = try argument(Jinja.Text(first).string, given, &counter)
        while let scalar = rest.popFirst() {
            if scalar == "." {
                let name = rest.prefix { $0 != "." && $0 != "[" }
                rest = rest.dropFirst(name.count)
                guard !name.isEmpty else { throw Failure(.value, "Empty attribute in format string") }
                value = try attribute(Jinja.Text(name).string, of: value)
            } else {
                guard scalar == "[", let end = rest.firstIndex(of: "]"), end > rest.startIndex else {
                    throw Failure(.value, "the field '\(Jinja.Text(path).string)' cannot be read")
                }
                let key = Jinja.Text(rest[..<end])
                rest = rest[(end + 1)...]
                let isNumber = key.scalars.allSatisfy { ("0"..."9").contains($0) }
                value = try item(isNumber ? Int(key.string).map { .int($0) } ?? .text(key) : .text(key), of: value)
            }
        }
        return value
    }

    private func argument(_ name: String, _ given: Jinja.Arguments, _ counter: inout Int) throws -> Value {
        let isNumber = name.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
        guard name.isEmpty || isNumber else {
            guard let found = given.named.first(where: { $0.name == name }) else {
                throw Failure(.value, "the format names '\(name)', which is not given")
            }
            return found.value
        }
        // Automatic numbers count up; after the first of them a number that is written is an error, and vice versa.
        guard name.isEmpty ? counter >= 0 : counter <= 0 else {
            throw Failure(.value, "cannot switch between automatic and manual field numbering")
        }
        let index = name.isEmpty ? counter : Int(name) ?? .max
        counter = name.isEmpty ? counter + 1 : -1
        guard index < given.positional.count else {
            throw Failure(.value, "Replacement index \(index) out of range for positional args tuple")
        }
        return given.positional[index]
    }

    /// `format(value, spec)`
    private func formatted(_ value: Value, by text: Jinja.Text) throws -> [Unicode.Scalar] {
        if text.isEmpty { return Array(try string(value).unicodeScalars) }
        var spec = try Jinja.FormatSpec(text)
        switch value {
        case .text(let value):
            guard spec.type == nil || spec.type == "s", spec.align != "=" || spec.fill == "0", spec.sign == nil,
                spec.grouping == nil, !spec.alternate
            else { throw Failure(.value, "the format '\(text.string)' is not for strings") }
            if spec.align == "=" {
                guard spec.fill == "0", text.scalars.first == "0" else {
                    throw Failure(.value, "'=' alignment not allowed in string format specifier")
                }
                spec.align = "<"
            }
            return try spec.padded(self, spec.precision.map { Array(value.scalars.prefix($0)) } ?? value.scalars)
        case .int, .bool: return try formattedInteger(integer(value) ?? 0, spec, text)
        case .float(let value): return try formattedFloat(value, spec, text)
        default: throw Failure(.value, "a format cannot be used for '\(value.typeName)'")
        }
    }

    private func formattedInteger(
        _ value: Int, _ spec: Jinja.FormatSpec, _ text: Jinja.Text
    ) throws -> [Unicode.Scalar] {
        switch spec.type {
        case nil, "d", "n":
            guard spec.precision == nil else {
                throw Failure(.value, "Precision not allowed in integer format specifier")
            }
            return try spec.decimal(self, value)
        case "x", "X", "o", "b":
            guard spec.precision == nil, spec.grouping != ",", let type = spec.type else {
                throw Failure(.value, "the format '\(text.string)' is not for whole numbers")
            }
            return try spec.based(self, value, type)
        case "c":
            guard spec.sign == nil, spec.precision == nil, !spec.alternate,
                let scalar = UInt32(exactly: value).flatMap(Unicode.Scalar.init)
            else { throw Failure(.value, "the format '\(text.string)' is not for this number") }
            var spec = spec
            if spec.align == nil || spec.align == "=" { spec.align = spec.align == nil ? "<" : ">" }
            return try spec.padded(self, [scalar])
        default: return try formattedFloat(Double(value), spec, text)
        }
    }

    private func formattedFloat(
        _ value: Double, _ spec: Jinja.FormatSpec, _ text: Jinja.Text
    ) throws -> [Unicode.Scalar] {
        switch spec.type {
        case nil where spec.precision == nil:
            let isNegative = value.sign == .minus && !value.isNaN
            return try spec.float(self, isNegative: isNegative, Jinja.floatText(value.magnitude))
        case nil where value.isFinite: return try shortest(value, spec, digits: max(1, spec.precision ?? 1))
        case nil, "e", "E", "f", "F", "g", "G": return try spec.float(self, value, spec.type ?? "f")
        case "%":
            let percent = Jinja.Numerals.printed("%.\(min(spec.precision ?? 6, 1000))f", value.magnitude * 100)
            let isNegative = value.sign == .minus && !value.isNaN
            guard value.isFinite else {
                return try spec.float(self, isNegative: isNegative, value.isNaN ? "nan%" : "inf%")
            }
            return try spec.float(self, isNegative: isNegative, percent + "%")
        default:
            throw Failure(.unsupported, "the format '\(text.string)' is not supported for numbers")
        }
    }

    /// A number with so many digits that shows it is no whole number: with a point or an exponent.
    private func shortest(_ value: Double, _ spec: Jinja.FormatSpec, digits: Int) throws -> [Unicode.Scalar] {
        guard digits <= 1000 else { throw Failure(.limit, "a number has at most 1000 digits behind its point") }
        let scientific = Jinja.Numerals.printed("%.\(digits - 1)e", value.magnitude)
        let parts = scientific.split(separator: "e")
        let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        var text: String
        if exponent < -4 || exponent >= digits - 1 {
            var mantissa = String(parts[0])
            if mantissa.contains(".") {
                while mantissa.hasSuffix("0") { mantissa.removeLast() }
                if mantissa.hasSuffix(".") { mantissa.removeLast() }
            }
            text = mantissa + "e" + (parts.count > 1 ? String(parts[1]) : "+00")
        } else {
            text = Jinja.Numerals.printed("%.\(digits)g", value.magnitude)
            if !text.contains(".") { text += ".0" }
        }
        return try spec.float(self, isNegative: value.sign == .minus, text)
    }
}
