/// Expressions, from the loosest binding to the tightest: `if else`, `or`, `and`, `not`, comparisons, `+ -`, `~`,
/// `* / // %`, `**`, signs, then subscripts, calls, filters and tests.
extension Jinja.Parser {
    typealias Expression = Jinja.Expression

    mutating func expression(conditional: Bool = true) throws -> Expression {
        try nested { try conditional ? $0.conditional() : $0.disjunction() }
    }

    /// An expression, or several with commas between them: a tuple.
    mutating func tuple(conditional: Bool = true, end: String? = nil, parenthesized: Bool = false) throws -> Expression
    {
        let position = current.position
        var parts: [Expression] = []
        var isTuple = false
        while true {
            if !parts.isEmpty { try expect(.symbol(",")) }
            if isTupleEnd(end) { break }
            parts.append(try expression(conditional: conditional))
            guard isSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple {
            if let only = parts.first { return only }
            if !parenthesized { throw failure("expected an expression, got '\(current.description)'") }
        }
        return try node(.tuple(parts), position)
    }

    func isTupleEnd(_ end: String?) -> Bool {
        switch current.kind {
        case .outputEnd, .blockEnd, .symbol(")"): true
        case .name(let name): name == end
        default: false
        }
    }

    func node(_ kind: Expression.Kind, _ position: Jinja.Position) throws -> Expression {
        try Expression(kind, at: position)
    }

    private mutating func conditional() throws -> Expression {
        var result = try disjunction()
        while isName("if") {
            let position = advance().position
            let test = try disjunction()
            let otherwise = take(name: "else") ? try nested { try $0.conditional() } : nil
            result = try node(.conditional(test: test, then: result, otherwise: otherwise), position)
        }
        return result
    }

    private mutating func disjunction() throws -> Expression {
        var left = try conjunction()
        while isName("or") {
            let position = advance().position
            left = try node(.or(left, try conjunction()), position)
        }
        return left
    }

    private mutating func conjunction() throws -> Expression {
        var left = try negation()
        while isName("and") {
            let position = advance().position
            left = try node(.and(left, try negation()), position)
        }
        return left
    }

    private mutating func negation() throws -> Expression {
        guard isName("not") else { return try comparison() }
        let position = advance().position
        return try node(.not(try nested { try $0.negation() }), position)
    }

    private mutating func comparison() throws -> Expression {
        let position = current.position
        let first = try sum()
        var rest: [Jinja.Comparison] = []
        while let relation = takeRelation() {
            rest.append(Jinja.Comparison(relation: relation, value: try sum()))
        }
        return rest.isEmpty ? first : try node(.comparison(first, rest), position)
    }

    private mutating func takeRelation() -> Jinja.Comparison.Relation? {
        let relation: Jinja.Comparison.Relation
        switch current.kind {
        case .symbol("=="): relation = .equal
        case .symbol("!="): relation = .notEqual
        case .symbol("<"): relation = .less
        case .symbol("<="): relation = .lessOrEqual
        case .symbol(">"): relation = .greater
        case .symbol(">="): relation = .greaterOrEqual
        case .name("in"): relation = .within
        case .name("not") where next.kind == .name("in"):
            advance()
            relation = .notWithin
        default: return nil
        }
        advance()
        return relation
    }

    private mutating func sum() throws -> Expression {
        var left = try concatenation()
        while isSymbol("+") || isSymbol("-") { left = try binary(left) { try $0.concatenation() } }
        return left
    }

    private mutating func concatenation() throws -> Expression {
        let position = current.position
        var parts = [try product()]
        while take(symbol: "~") { parts.append(try product()) }
        return parts.count == 1 ? parts[0] : try node(.concatenation(parts), position)
    }

    private mutating func product() throws -> Expression {
        var left = try power()
        while isSymbol("*") || isSymbol("/") || isSymbol("//") || isSymbol("%") {
            left = try binary(left) { try $0.power() }
        }
        return left
    }

    private mutating func power() throws -> Expression {
        var left = try unary(filtered: true)
        while isSymbol("**") { left = try binary(left) { try $0.unary(filtered: true) } }
        return left
    }

    private mutating func binary(
        _ left: Expression, _ right: (inout Self) throws -> Expression
    ) throws -> Expression {
        let token = advance()
        guard case .symbol(let symbol) = token.kind, let operation = Jinja.Operator(rawValue: symbol) else {
            throw failure("expected an operator", at: token.position)
        }
        return try node(.binary(operation, left, try right(&self)), token.position)
    }

    private mutating func unary(filtered: Bool) throws -> Expression {
        let position = current.position
        var result: Expression
        if take(symbol: "-") {
            result = try node(.negative(try nested { try $0.unary(filtered: false) }), position)
        } else if take(symbol: "+") {
            result = try node(.positive(try nested { try $0.unary(filtered: false) }), position)
        } else {
            result = try primary()
        }
        result = try postfix(result)
        return filtered ? try filtersAndTests(result) : result
    }

    mutating func primary() throws -> Expression {
        let token = advance()
        switch token.kind {
        case .name("true"), .name("True"): return try node(.literal(.bool(true)), token.position)
        case .name("false"), .name("False"): return try node(.literal(.bool(false)), token.position)
        case .name("none"), .name("None"): return try node(.literal(.null), token.position)
        case .name(let name): return try node(.name(number(of: name)), token.position)
        case .int(let value): return try node(.literal(.int(value)), token.position)
        case .float(let value): return try node(.literal(.float(value)), token.position)
        case .text(var text):
            while case .text(let more) = current.kind {
                text.scalars += more.scalars
                advance()
            }
            return try node(.literal(.text(text)), token.position)
        case .symbol("("):
            let result = try tuple(parenthesized: true)
            try expect(.symbol(")"))
            return result
        case .symbol("["):
            return try node(.list(try elements(until: "]") { try $0.expression() }), token.position)
        case .symbol("{"):
            let pairs = try elements(until: "}") { parser in
                let key = try parser.expression()
                try parser.expect(.symbol(":"))
                return Jinja.Pair(key: key, value: try parser.expression())
            }
            return try node(.dict(pairs), token.position)
        default: throw failure("unexpected '\(token.description)'", at: token.position)
        }
    }

    /// Elements with commas between them, one at the end allowed, and the bracket behind them.
    private mutating func elements<Element>(
        until end: String, _ element: (inout Self) throws -> Element
    ) throws -> [Element] {
        var result: [Element] = []
        while !isSymbol(end) {
            if !result.isEmpty { try expect(.symbol(",")) }
            if isSymbol(end) { break }
            result.append(try element(&self))
        }
        advance()
        return result
    }
}
