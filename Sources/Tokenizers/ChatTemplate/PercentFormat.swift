/// `format % values`, in the manner of C's printf.
extension Jinja.Interpreter {
    private struct Directive {
        var flags: Set<Unicode.Scalar> = []
        var width = 0
        var precision: Int?
        var conversion: Unicode.Scalar = "s"
    }

    func formatted(_ format: Jinja.Text, with value: Value) throws -> Value {
        try charge(format.count)
        var positional: [Value] = [value]
        var mapping: Value?
        switch value {
        case .tuple(let items): positional = items.values
        case .dict, .list, .range, .undefined: mapping = value
        default: break
        }
        var used = 0
        func next() throws -> Value {
            guard used < positional.count else { throw Failure(.value, "not enough arguments for format string") }
            used += 1
            return positional[used - 1]
        }
        var result: [Unicode.Scalar] = []
        var rest = format.scalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "%" else {
                result.append(scalar)
                continue
            }
            var named: Value?
            if rest.first == "(" {
                guard case .dict = value else { throw Failure(.value, "format requires a mapping") }
                let key = try key(&rest)
                guard let found = try item(.text(key), of: value).defined else {
                    throw Failure(.value, "the format names '\(key.string)', which is not there")
                }
                named = found
                used = positional.count
            }
            let directive = try directive(&rest, next)
            if directive.conversion == "%" {
                result.append("%")
                continue
            }
            let text = try self.text(try named ?? next(), directive, escapes: format.isMarkup)
            try charge(text.count)
            result += text
        }
        guard used >= positional.count || mapping != nil else {
            throw Failure(.value, "not all arguments converted during string formatting")
        }
        return .text(Jinja.Text(result, isMarkup: format.isMarkup))
    }

    private func key(_ rest: inout ArraySlice<Unicode.Scalar>) throws -> Jinja.Text {
        rest.removeFirst()
        var (depth, key) = (1, [Unicode.Scalar]())
        while let scalar = rest.popFirst() {
            depth += scalar == "(" ? 1 : scalar == ")" ? -1 : 0
            if depth == 0 { return Jinja.Text(key) }
            key.append(scalar)
        }
        throw Failure(.value, "incomplete format key")
    }

    private func directive(_ rest: inout ArraySlice<Unicode.Scalar>, _ next: () throws -> Value) throws -> Directive {
        func number(_ standard: Int) throws -> Int {
            if rest.first == "*" {
                rest.removeFirst()
                guard let value = integer(try next()) else { throw Failure(.value, "* wants int") }
                return value
            }
            let digits = rest.prefix { ("0"..."9").contains($0) }
            rest = rest.dropFirst(digits.count)
            if digits.isEmpty { return standard }
            guard let value = Int(Jinja.Text(digits).string) else { throw overflow64 }
            return value
        }
        var directive = Directive()
        while let flag = rest.first, ["#", "0", "-", " ", "+"].contains(flag) {
            directive.flags.insert(flag)
            rest.removeFirst()
        }
        directive.width = try number(0)
        if directive.width < 0 {
            directive.flags.insert("-")
            directive.width = directive.width == .min ? .max : -directive.width
        }
        if rest.first == "." {
            rest.removeFirst()
            directive.precision = max(0, try number(0))
        }
        while let letter = rest.first, ["h", "l", "L"].contains(letter) { rest.removeFirst() }
        guard let conversion = rest.popFirst() else { throw Failure(.value, "incomplete format") }
        directive.conversion = conversion
        return directive
    }

    private func text(_ value: Value, _ directive: Directive, escapes: Bool) throws -> [Unicode.Scalar] {
        var spec = Jinja.FormatSpec()
        spec.alternate = directive.flags.contains("#")
        spec.sign = directive.flags.contains("+") ? "+" : directive.flags.contains(" ") ? " " : nil
        spec.width = directive.width
        spec.precision = directive.precision
        spec.align = directive.flags.contains("-") ? "<" : ">"
        let zeros = directive.flags.contains("0") && !directive.flags.contains("-")
        switch directive.conversion {
        case "s", "r", "a":
            guard directive.conversion != "a" else { throw Failure(.unsupported, "%a is not supported") }
            var text = Jinja.Text(directive.conversion == "s" ? try string(value) : try representation(value))
            if escapes { text = try escapedValue(value, text) }
            return try spec.padded(self, spec.precision.map { Array(text.scalars.prefix($0)) } ?? text.scalars)
        case "c":
            if case .text(let text) = value, text.count == 1 { return try spec.padded(self, text.scalars) }
            guard let code = integer(value), let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) else {
                throw Failure(.value, "%c requires a character")
            }
            return try spec.padded(self, [scalar])
        case "d", "i", "u":
            if zeros { (spec.align, spec.fill) = ("=", "0") }
            guard let number = Jinja.Number(value) else { throw wrong("%d", value) }
            if case .float(let value) = number { return try spec.decimal(self, try truncated(value)) }
            return try spec.decimal(self, integer(value) ?? 0)
        case "x", "X", "o":
            if zeros { (spec.align, spec.fill) = ("=", "0") }
            guard let whole = integer(value) else { throw wrong("%\(directive.conversion)", value) }
            return try spec.based(self, whole, directive.conversion)
        case "e", "E", "f", "F", "g", "G":
            if zeros { (spec.align, spec.fill) = ("=", "0") }
            guard let number = Jinja.Number(value) else { throw wrong("%\(directive.conversion)", value) }
            return try spec.float(self, number.double, directive.conversion)
        default: throw Failure(.value, "unsupported format character '\(directive.conversion)'")
        }
    }

    private func wrong(_ conversion: String, _ value: Value) -> Failure {
        if case .undefined(let undefined) = value { return Failure(.undefined, undefined.message) }
        return Failure(.value, "\(conversion) format: a number is required, not \(value.typeName)")
    }

    private func truncated(_ value: Double) throws -> Int {
        guard value.isFinite else { throw Failure(.value, "cannot convert float to integer") }
        guard let whole = Int(exactly: value.rounded(.towardZero)) else { throw overflow64 }
        return whole
    }

    /// The text of a value inside markup.
    func escapedValue(_ value: Value, _ text: Jinja.Text) throws -> Jinja.Text {
        if case .text(let original) = value, original.isMarkup { return text }
        return text.escaped
    }
}

extension Jinja.Value {
    /// The value unless it is undefined.
    var defined: Self? { if case .undefined = self { nil } else { self } }
}
