/// Values as text, as Python's `str` and `repr` write them.
extension Jinja.Interpreter {
    /// `str(value)`
    func string(_ value: Value) throws -> String {
        switch value {
        case .undefined: return ""
        case .text(let text): return text.string
        default: return try representation(value)
        }
    }

    /// `repr(value)`
    func representation(_ value: Value) throws -> String {
        var result = ""
        try represent(value, into: &result)
        return result
    }

    private func represent(_ value: Value, into result: inout String) throws {
        try charge(4)
        switch value {
        case .undefined: result += "Undefined"
        case .null: result += "None"
        case .bool(let value): result += value ? "True" : "False"
        case .int(let value): result += "\(value)"
        case .float(let value): result += Jinja.floatText(value)
        case .text(let text):
            try charge(text.count)
            let quoted = Self.quoted(text)
            result += text.isMarkup ? "Markup(\(quoted))" : quoted
        case .list(let items):
            result += "["
            try represent(items.values, into: &result)
            result += "]"
        case .tuple(let items):
            result += "("
            try represent(items.values, into: &result)
            result += items.values.count == 1 ? ",)" : ")"
        case .dict(let dictionary): try represent(dictionary.members.map { ($0, $1) }, into: &result)
        case .view(let view):
            result += "dict_\(view.part.rawValue)(["
            try represent(try view.elements(), into: &result)
            result += "])"
        case .range(let span):
            result += "range(\(span.start), \(span.stop)\(span.step == 1 ? "" : ", \(span.step)"))"
        case .namespace(let namespace):
            result += "<Namespace "
            let members = namespace.names.map { (Value.string($0), namespace.values[$0] ?? .null) }
            try nested { try represent(members, into: &result) }
            result += ">"
        case .macro(let macro): result += "<Macro \(Self.quoted(Jinja.Text(macro.statement.name)))>"
        case .loop(let loop): result += "<LoopContext \(loop.index0 + 1)/\(try loop.length())>"
        case .lazy, .function, .method:
            throw Failure(
                .unsupported, "a \(value.typeName) cannot be printed; make it a list or call it")
        }
    }

    private func represent(_ values: [Value], into result: inout String) throws {
        for (index, value) in values.enumerated() {
            if index > 0 { result += ", " }
            try represent(value, into: &result)
        }
    }

    private func represent(_ members: [(Value, Value)], into result: inout String) throws {
        result += "{"
        for (index, (key, value)) in members.enumerated() {
            if index > 0 { result += ", " }
            try represent(key, into: &result)
            result += ": "
            try represent(value, into: &result)
        }
        result += "}"
    }

    /// A string literal of Python.
    private static func quoted(_ text: Jinja.Text) -> String {
        let quote: Unicode.Scalar = text.scalars.contains("'") && !text.scalars.contains("\"") ? "\"" : "'"
        var result = String.UnicodeScalarView()
        result.append(quote)
        for scalar in text.scalars {
            switch scalar {
            case quote, "\\": result += ["\\", scalar]
            case "\n": result += "\\n".unicodeScalars
            case "\r": result += "\\r".unicodeScalars
            case "\t": result += "\\t".unicodeScalars
            case _ where scalar.isPythonPrintable: result.append(scalar)
            default:
                let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                result += "\\\(letter)\(hexadecimal(scalar.value, width))".unicodeScalars
            }
        }
        result.append(quote)
        return String(result)
    }

    static func hexadecimal(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}
