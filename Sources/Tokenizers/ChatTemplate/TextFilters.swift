extension Jinja.Filters {
    typealias Value = Jinja.Value
    typealias Text = Jinja.Text
    typealias Arguments = Jinja.Arguments
    typealias Interpreter = Jinja.Interpreter
    typealias Failure = Jinja.Failure

    /// Filters that make text.
    static let text: [String: Jinja.Filter] = [
        "capitalize": simple("capitalize", \.capitalized), "center": center,
        "e": escape, "escape": escape, "forceescape": escape, "format": format, "indent": indent, "join": join,
        "lower": simple("lower", \.lowercased), "replace": replace, "safe": safe, "string": simple("string") { $0 },
        "title": simple("title", \.wordsCapitalized), "trim": trim, "truncate": truncate,
        "upper": simple("upper", \.uppercased), "wordcount": wordcount,
    ]

    private static func simple(_ name: String, _ transform: @escaping @Sendable (Text) -> Text) -> Jinja.Filter {
        { run, value, given in
            _ = try given.bound(to: [], of: name)
            return .text(transform(try softText(run, value)))
        }
    }

    /// The text of a value; marked text stays marked.
    static func softText(_ run: Interpreter, _ value: Value) throws -> Text {
        if case .text(let text) = value {
            try run.charge(text.count)
            return text
        }
        return Text(try run.string(value))
    }

    @Sendable private static func center(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let width = try given.bound(to: ["width"], of: "center").integer(0) ?? 80
        return .text(try Jinja.Methods.padded(run, try softText(run, value), width, " ", .center))
    }

    @Sendable private static func escape(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: ["s"], of: "escape")
        return .text(try softText(run, value).escaped)
    }

    @Sendable private static func safe(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: [], of: "safe")
        return .text(Text(try softText(run, value).scalars, isMarkup: true))
    }

    @Sendable private static func format(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        guard given.positional.isEmpty || given.named.isEmpty else {
            throw Failure(.value, "format takes arguments with names or without, not both")
        }
        let text = try softText(run, value)
        if given.named.isEmpty { return try run.formatted(text, with: .tuple(try Jinja.Items(given.positional))) }
        let members = given.named.map { (key: Value.string($0.name), value: $0.value) }
        return try run.formatted(text, with: .dict(try Jinja.Dictionary(members)))
    }

    @Sendable private static func indent(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["width", "first", "blank"], of: "indent")
        if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
        guard case .text(let text) = value else { throw Failure(.value, "indent needs a string") }
        var width: Text = "    "
        if case .text(let given) = bound.value(0) {
            width = given
        } else if let count = try bound.integer(0) {
            try run.charge(max(count, 0))
            width = Text(Array(repeating: " ", count: max(count, 0)))
        }
        let lines = Text(text.scalars + ["\n"]).lines()
        try run.charge(text.count)
        try run.charge(Jinja.product(width.count, lines.count))
        if text.isMarkup { width = width.escaped }
        var result: [Unicode.Scalar] = bound.isTrue(1) ? width.scalars : []
        for (index, line) in lines.enumerated() {
            if index > 0 {
                result.append("\n")
                if bound.isTrue(2) || !line.isEmpty { result += width.scalars }
            }
            result += line
        }
        return .text(Text(result, isMarkup: text.isMarkup))
    }

    @Sendable private static func join(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["d", "attribute"], of: "join")
        let separator = try bound[0].map { Text(try run.string($0)) } ?? ""
        let key = try attributeGetter(run, bound.value(1))
        let cursor = try run.cursor(value)
        var result: [Unicode.Scalar] = []
        var isFirst = true
        while let element = try cursor.next() {
            if !isFirst { result += separator.scalars }
            isFirst = false
            let part = try softText(run, try key(element))
            try run.charge(separator.count + 8)
            result += part.scalars
        }
        return .text(Text(result))
    }

    @Sendable private static func replace(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["old", "new", "count"], required: 2, of: "replace")
        let (text, old, new) = (
            try softText(run, value), try softText(run, bound.value(0)), try softText(run, bound.value(1))
        )
        let count = if case .null = bound.value(2) { -1 } else { try bound.integer(2) ?? -1 }
        return .text(try Jinja.Methods.replaced(run, Text(text.scalars), old, new, count))
    }

    @Sendable private static func trim(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let characters = try given.bound(to: ["chars"], of: "trim").optionalText(0)
        return .text(try Jinja.Methods.stripped(run, softText(run, value), characters, left: true, right: true))
    }

    @Sendable private static func truncate(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["length", "killwords", "end", "leeway"], of: "truncate")
        let length = try bound.integer(0) ?? 255
        let end = try bound[2] == nil ? "..." : bound.text(2)
        let leeway = if case .null = bound.value(3) { 5 } else { try bound.integer(3) ?? 5 }
        guard length >= end.count, leeway >= 0 else {
            throw Failure(.value, "truncate needs a length of at least \(end.count) and no negative leeway")
        }
        if try run.length(value) <= Jinja.sum(length, leeway) { return value }
        guard case .text(let text) = value else { throw Failure(.value, "truncate needs a string") }
        try run.charge(text.count)
        var kept = text.scalars[..<(length - end.count)]
        if !bound.isTrue(1), let space = kept.lastIndex(of: " ") { kept = kept[..<space] }
        return .text(Text(kept + end.scalars))
    }

    @Sendable private static func wordcount(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: [], of: "wordcount")
        var (count, inside) = (0, false)
        for scalar in try softText(run, value).scalars {
            let isWord = scalar.isPythonWord
            if isWord, !inside { count += 1 }
            inside = isWord
        }
        return .int(count)
    }
}

extension Jinja {
    static func product(_ left: Int, _ right: Int) -> Int {
        let (product, overflow) = left.multipliedReportingOverflow(by: right)
        return overflow ? Int.max : product
    }
}
