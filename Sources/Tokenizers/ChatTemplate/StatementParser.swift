/// Text, output and block tags.
extension Jinja.Parser {
    typealias Statement = Jinja.Statement

    /// Jinja's tags that chat templates have no use for.
    private static let unsupported: Set<String> = [
        "autoescape", "block", "debug", "do", "extends", "from", "import", "include", "pluralize", "trans",
    ]

    /// Statements up to a tag of one of these names, whose name becomes the current token; without names, all.
    mutating func statements(until ends: Set<String>) throws -> [Statement] {
        var result: [Statement] = []
        while true {
            let token = current
            switch token.kind {
            case .data(let text):
                advance()
                result.append(Statement(kind: .text(text), position: token.position))
            case .outputBegin:
                advance()
                result.append(Statement(kind: .output(try tuple()), position: token.position))
                try expect(.outputEnd)
            case .blockBegin:
                advance()
                if case .name(let name) = current.kind, ends.contains(name) { return result }
                result += try nested { try $0.tag(closes: ends) }
                try expect(.blockEnd)
            case .end where ends.isEmpty: return result
            case .end:
                throw failure(
                    "the template ends where one of these should be: \(ends.sorted().joined(separator: ", "))")
            default: throw failure("unexpected '\(token.description)'")
            }
        }
    }

    private mutating func tag(closes ends: Set<String>) throws -> [Statement] {
        let position = current.position
        guard case .name(let name) = current.kind else { throw failure("expected the name of a tag") }
        advance()
        let kind: Statement.Kind
        switch name {
        case "if": kind = try condition()
        case "for": kind = try loop()
        case "set": kind = try assignment()
        case "macro": kind = try macro()
        case "call": kind = try callBlock()
        case "filter": kind = try filterBlock()
        case "with": kind = try with()
        case "print": return try prints()
        case "generation": kind = .generation(try isolated { try $0.body(until: "endgeneration") })
        case "break", "continue":
            guard insideLoop else { throw failure("'\(name)' outside of a loop", at: position) }
            kind = name == "break" ? .break : .continue
        case _ where Self.unsupported.contains(name):
            throw Jinja.Failure(.unsupported, "the tag '\(name)' is not supported", at: position)
        default:
            let expected = ends.isEmpty ? "" : "; expected one of \(ends.sorted().joined(separator: ", "))"
            throw Jinja.Failure(.unsupported, "unknown tag '\(name)'\(expected)", at: position)
        }
        return [Statement(kind: kind, position: position)]
    }

    /// The end of a tag, the statements behind it up to one of these tags; the name of that is taken and given back.
    private mutating func block(until ends: Set<String>) throws -> (statements: [Statement], end: String) {
        _ = take(symbol: ":")
        try expect(.blockEnd)
        let statements = try statements(until: ends)
        return (statements, try expectName())
    }

    private mutating func body(until end: String) throws -> Jinja.Body {
        let scope = newScope()
        return Jinja.Body(scope: scope, statements: try block(until: [end]).statements)
    }

    /// A body that becomes a function of its own, out of which no `break` leads.
    private mutating func isolated<Result>(_ body: (inout Self) throws -> Result) throws -> Result {
        let outside = insideLoop
        insideLoop = false
        defer { insideLoop = outside }
        return try body(&self)
    }

    private mutating func condition() throws -> Statement.Kind {
        var branches: [Jinja.Branch] = []
        while true {
            let test = try tuple(conditional: false)
            let (statements, end) = try block(until: ["elif", "else", "endif"])
            branches.append(Jinja.Branch(test: test, body: statements))
            switch end {
            case "elif": continue
            case "else": return .condition(branches, otherwise: try block(until: ["endif"]).statements)
            default: return .condition(branches, otherwise: [])
            }
        }
    }

    private mutating func loop() throws -> Statement.Kind {
        let position = current.position
        let target = try self.target(end: "in")
        let reserved = number(of: "loop")
        guard !target.leaves.contains(where: { if case .name(reserved) = $0 { true } else { false } }) else {
            throw failure("'loop' cannot be the variable of a loop", at: position)
        }
        try expect(.name("in"))
        let sequence = try tuple(conditional: false, end: "recursive")
        let filter = take(name: "if") ? (test: try expression(), scope: newScope()) : nil
        let isRecursive = take(name: "recursive")
        let outside = insideLoop
        insideLoop = true
        let scope = newScope()
        let (statements, end) = try block(until: ["endfor", "else"])
        insideLoop = outside
        var otherwise: Jinja.Body?
        if end == "else" {
            otherwise = isRecursive ? try isolated { try $0.body(until: "endfor") } : try body(until: "endfor")
        }
        return .loop(
            Jinja.LoopStatement(
                target: target, sequence: sequence, filter: filter, isRecursive: isRecursive,
                body: Jinja.Body(scope: scope, statements: statements), otherwise: otherwise))
    }

    private mutating func assignment() throws -> Statement.Kind {
        let target = try self.target(end: nil, namespaces: true)
        if take(symbol: "=") { return .set(target, try tuple()) }
        let filter = try filters(on: nil)
        return .setBlock(target, filter: filter, try body(until: "endset"))
    }

    private mutating func filterBlock() throws -> Statement.Kind {
        let position = current.position
        guard let filter = try filters(on: nil, begun: true) else { throw failure("expected a filter", at: position) }
        return .filter(filter, try body(until: "endfilter"))
    }

    private mutating func with() throws -> Statement.Kind {
        var assignments: [(target: Jinja.Target, value: Expression)] = []
        while current.kind != .blockEnd {
            if !assignments.isEmpty { try expect(.symbol(",")) }
            let target = try self.target(end: nil)
            try expect(.symbol("="))
            assignments.append((target, try expression()))
        }
        return .with(assignments, try body(until: "endwith"))
    }

    private mutating func prints() throws -> [Statement] {
        var result: [Statement] = []
        while current.kind != .blockEnd {
            if !result.isEmpty { try expect(.symbol(",")) }
            let position = current.position
            result.append(Statement(kind: .output(try expression()), position: position))
        }
        return result
    }

    // MARK: Macros

    private mutating func macro() throws -> Statement.Kind {
        let name = try expectName()
        return .macro(number(of: name), try signatureAndBody(name: name, until: "endmacro"))
    }

    private mutating func callBlock() throws -> Statement.Kind {
        let parameters = isSymbol("(") ? try signature() : ([], [])
        let position = current.position
        let call = try expression()
        guard case .call = call.kind else { throw failure("expected a call", at: position) }
        return .call(call, try macroBody("caller", parameters, until: "endcall"))
    }

    private mutating func signatureAndBody(name: String, until end: String) throws -> Jinja.MacroStatement {
        try macroBody(name, try signature(), until: end)
    }

    private mutating func macroBody(
        _ name: String, _ signature: (parameters: [(name: Jinja.Name, label: String)], defaults: [Expression]),
        until end: String
    ) throws -> Jinja.MacroStatement {
        let position = current.position
        let body = try isolated { try $0.body(until: end) }
        let special = [number(of: "caller"), number(of: "kwargs"), number(of: "varargs")]
        let used = Jinja.NameWalk.undeclared(special, in: body.statements)
        let declared = Set(signature.parameters.map(\.name))
        if used.contains(special[0]), let place = signature.parameters.firstIndex(where: { $0.name == special[0] }),
            signature.parameters.count - place > signature.defaults.count
        {
            throw failure("the parameter 'caller' needs a default", at: position)
        }
        return Jinja.MacroStatement(
            name: name, parameters: signature.parameters, defaults: signature.defaults, body: body,
            usesCaller: used.contains(special[0]),
            usesNamed: used.contains(special[1]) && !declared.contains(special[1]),
            usesMore: used.contains(special[2]) && !declared.contains(special[2]))
    }

    private mutating func signature() throws -> (
        parameters: [(name: Jinja.Name, label: String)], defaults: [Expression]
    ) {
        var parameters: [(name: Jinja.Name, label: String)] = []
        var defaults: [Expression] = []
        try expect(.symbol("("))
        while !isSymbol(")") {
            if !parameters.isEmpty { try expect(.symbol(",")) }
            let position = current.position
            let label = try expectName()
            guard !parameters.contains(where: { $0.label == label }) else {
                throw failure("the parameter '\(label)' is there twice", at: position)
            }
            if take(symbol: "=") {
                defaults.append(try expression())
            } else if !defaults.isEmpty {
                throw failure("a parameter without default follows one with", at: position)
            }
            parameters.append((number(of: label), label))
        }
        advance()
        return (parameters, defaults)
    }
}
