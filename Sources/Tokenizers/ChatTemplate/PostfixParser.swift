/// What stands behind a value: subscripts, calls, filters, tests.
extension Jinja.Parser {
    mutating func postfix(_ value: Expression) throws -> Expression {
        var result = value
        while true {
            switch current.kind {
            case .symbol("."): result = try attribute(of: result)
            case .symbol("["): result = try item(of: result)
            case .symbol("("):
                let position = current.position
                result = try node(.call(result, try arguments()), position)
            default: return result
            }
        }
    }

    mutating func filtersAndTests(_ value: Expression) throws -> Expression {
        var result = value
        while true {
            switch current.kind {
            case .symbol("|"): result = try filters(on: result) ?? result
            case .name("is"): result = try test(of: result)
            case .symbol("("):
                let position = current.position
                result = try node(.call(result, try arguments()), position)
            default: return result
            }
        }
    }

    /// `| name(arguments) | …`; with `begun` the first comes without its bar.
    mutating func filters(on value: Expression?, begun: Bool = false) throws -> Expression? {
        var result = value
        var isBegun = begun
        while isBegun || take(symbol: "|") {
            isBegun = false
            let position = current.position
            let name = try dottedName()
            let list = isSymbol("(") ? try arguments() : Jinja.ArgumentList()
            result = try node(.filter(result, name, list), position)
        }
        return result
    }

    private mutating func test(of value: Expression) throws -> Expression {
        let position = advance().position
        let isNegated = take(name: "not")
        let name = try dottedName()
        var list = Jinja.ArgumentList()
        switch current.kind {
        case .symbol("("): list = try arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw failure("tests cannot follow each other")
        case .name, .text, .int, .float, .symbol("["), .symbol("{"):
            let first = try nested { try $0.primary() }
            list.positional = [try postfix(first)]
        default: break
        }
        let result = try node(.test(value, name, list), position)
        return isNegated ? try node(.not(result), position) : result
    }

    private mutating func dottedName() throws -> String {
        var name = try expectName()
        while take(symbol: ".") { name += "." + (try expectName()) }
        return name
    }

    private mutating func attribute(of value: Expression) throws -> Expression {
        let position = advance().position
        let token = advance()
        switch token.kind {
        case .name(let name): return try node(.attribute(value, name), position)
        case .int(let index):
            return try node(.item(value, try node(.literal(.int(index)), token.position)), position)
        default: throw failure("expected a name or a number behind the dot", at: token.position)
        }
    }

    private mutating func item(of value: Expression) throws -> Expression {
        let position = advance().position
        var parts: [Expression] = []
        while !isSymbol("]") {
            if !parts.isEmpty { try expect(.symbol(",")) }
            let start = isSymbol(":") ? nil : try expression()
            guard take(symbol: ":") else {
                if let start { parts.append(start) }
                continue
            }
            let result = try slice(of: value, from: start, position)
            guard parts.isEmpty, take(symbol: "]") else {
                throw Jinja.Failure(.unsupported, "slices in several dimensions are not supported", at: position)
            }
            return result
        }
        advance()
        let index = parts.count == 1 ? parts[0] : try node(.tuple(parts), position)
        return try node(.item(value, index), position)
    }

    private mutating func slice(
        of value: Expression, from start: Expression?, _ position: Jinja.Position
    ) throws -> Expression {
        func isEnd(_ parser: Self) -> Bool { parser.isSymbol("]") || parser.isSymbol(",") }
        let stop = isSymbol(":") || isEnd(self) ? nil : try expression()
        let step = take(symbol: ":") && !isEnd(self) ? try expression() : nil
        return try node(.slice(value, start: start, stop: stop, step: step), position)
    }

    /// The arguments of a call, with their brackets.
    mutating func arguments() throws -> Jinja.ArgumentList {
        var list = Jinja.ArgumentList()
        try expect(.symbol("("))
        var isFirst = true
        while !isSymbol(")") {
            if !isFirst { try expect(.symbol(",")) }
            if isSymbol(")") { break }
            isFirst = false
            let position = current.position
            let misplaced = failure("the arguments of a call are out of order", at: position)
            if take(symbol: "*") {
                guard list.more == nil, list.moreNamed == nil else { throw misplaced }
                list.more = try expression()
            } else if take(symbol: "**") {
                guard list.moreNamed == nil else { throw misplaced }
                list.moreNamed = try expression()
            } else if case .name(let name) = current.kind, next.kind == .symbol("=") {
                advance()
                advance()
                guard list.moreNamed == nil else { throw misplaced }
                guard !list.named.contains(where: { $0.name == name }) else {
                    throw failure("the argument '\(name)' is given twice", at: position)
                }
                list.named.append((name, try expression()))
            } else {
                guard list.named.isEmpty, list.more == nil, list.moreNamed == nil else { throw misplaced }
                list.positional.append(try expression())
            }
        }
        advance()
        return list
    }
}
