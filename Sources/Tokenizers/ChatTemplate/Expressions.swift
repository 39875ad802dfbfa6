extension Jinja.Interpreter {
    func evaluate(_ expression: Jinja.Expression) throws -> Value {
        try charge(4)
        switch expression.kind {
        case .literal(let literal): return value(literal)
        case .name(let name):
            return frame.find(name) ?? .undefined(Jinja.Undefined(name: program.names[name]))
        default: return try nested { try compound(expression) }
        }
    }

    private func value(_ literal: Jinja.Literal) -> Value {
        switch literal {
        case .null: .null
        case .bool(let value): .bool(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .text(let text): .text(text)
        }
    }

    private func compound(_ expression: Jinja.Expression) throws -> Value {
        switch expression.kind {
        case .literal, .name: return .null
        case .tuple(let parts): return .tuple(try Jinja.Items(parts.map(evaluate)))
        case .list(let parts): return .list(try Jinja.Items(parts.map(evaluate)))
        case .dict(let pairs):
            let members = try pairs.map { (key: try evaluate($0.key), value: try evaluate($0.value)) }
            position = expression.position
            return .dict(try Jinja.Dictionary(members))
        case .conditional(let test, let then, let otherwise):
            if try evaluate(test).isTrue { return try evaluate(then) }
            if let otherwise { return try evaluate(otherwise) }
            return .undefined(
                Jinja.Undefined("the inline if-expression was false and has no else"))
        case .or(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? value : try evaluate(right)
        case .and(let left, let right):
            let value = try evaluate(left)
            return value.isTrue ? try evaluate(right) : value
        case .not(let value): return .bool(try !evaluate(value).isTrue)
        case .comparison(let first, let rest): return try comparison(first, rest, at: expression.position)
        case .binary(let operation, let left, let right):
            let (left, right) = (try evaluate(left), try evaluate(right))
            position = expression.position
            return try binary(operation, left, right)
        case .negative(let operand):
            let value = try evaluate(operand)
            position = expression.position
            return try negated(value)
        case .positive(let operand):
            let value = try evaluate(operand)
            position = expression.position
            return try positive(value)
        case .concatenation(let parts): return try concatenation(parts)
        case .attribute(let object, let name):
            let value = try evaluate(object)
            position = expression.position
            return try attribute(name, of: value)
        case .item(let object, let index):
            let (value, index) = (try evaluate(object), try evaluate(index))
            position = expression.position
            return try item(index, of: value)
        case .slice(let object, let start, let stop, let step):
            let value = try evaluate(object)
            let bounds = try [start, stop, step].map { try $0.map(evaluate) ?? .null }
            position = expression.position
            return try slice(value, bounds)
        case .call(let callee, let list):
            let function = try evaluate(callee)
            let arguments = try evaluate(list)
            position = expression.position
            return try call(function, arguments)
        case .filter, .test: return try evaluate(expression, piped: nil)
        }
    }

    /// A filter or test; the innermost filter without a value of its own gets `piped`.
    func evaluate(_ expression: Jinja.Expression, piped: Value?) throws -> Value {
        switch expression.kind {
        case .filter(let object, let name, let list):
            let value: Value
            if let object {
                value = piped == nil ? try evaluate(object) : try nested { try evaluate(object, piped: piped) }
            } else {
                value = piped ?? .null
            }
            let arguments = try evaluate(list)
            position = expression.position
            return try filter(name, value, arguments)
        case .test(let object, let name, let list):
            let value = try evaluate(object)
            let arguments = try evaluate(list)
            position = expression.position
            return try test(name, value, arguments)
        default: return try evaluate(expression)
        }
    }

    func filter(_ name: String, _ value: Value, _ arguments: Jinja.Arguments) throws -> Value {
        guard let filter = Jinja.Filters.all[name] else { throw Failure(.unsupported, "unknown filter '\(name)'") }
        return try filter(self, value, arguments)
    }

    func test(_ name: String, _ value: Value, _ arguments: Jinja.Arguments) throws -> Value {
        guard let test = Jinja.Tests.all[name] else { throw Failure(.unsupported, "unknown test '\(name)'") }
        return try test(self, value, arguments)
    }

    private func comparison(
        _ first: Jinja.Expression, _ rest: [Jinja.Comparison], at place: Jinja.Position
    ) throws -> Value {
        var left = try evaluate(first)
        for comparison in rest {
            let right = try evaluate(comparison.value)
            position = place
            guard try holds(comparison.relation, left, right) else { return .bool(false) }
            left = right
        }
        return .bool(true)
    }

    private func concatenation(_ parts: [Jinja.Expression]) throws -> Value {
        var result: [Unicode.Scalar] = []
        let texts = try parts.map(evaluate)
        for (part, value) in zip(parts, texts) {
            position = part.position
            if case .text(let text) = value {
                result += text.scalars
            } else {
                result += try string(value).unicodeScalars
            }
        }
        try charge(result.count)
        return .text(Jinja.Text(result))
    }

    func evaluate(_ list: Jinja.ArgumentList) throws -> Jinja.Arguments {
        var result = Jinja.Arguments(positional: try list.positional.map(evaluate))
        for (name, expression) in list.named { result.named.append((name, try evaluate(expression))) }
        if let more = list.more { result.positional += try elements(try evaluate(more)) }
        if let more = list.moreNamed {
            guard case .dict(let dictionary) = try evaluate(more) else {
                throw Failure(.value, "what stands behind ** must be a dict")
            }
            try charge(min(dictionary.count, 1 << 20) * min(dictionary.count, 1 << 20))
            for (key, value) in dictionary.members {
                guard case .text(let name) = key else { throw Failure(.value, "keywords must be strings") }
                guard !result.named.contains(where: { $0.name == name.string }) else {
                    throw Failure(.value, "the argument '\(name.string)' is given twice")
                }
                result.named.append((name.string, value))
            }
        }
        return result
    }
}
