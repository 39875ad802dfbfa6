/// What stands left of an assignment or before the `in` of a loop.
extension Jinja.Parser {
    /// One target, or several with commas between them.
    /// - Parameters:
    ///   - end: a name that ends the list
    ///   - namespaces: whether `namespace.attribute` is allowed
    mutating func target(end: String?, namespaces: Bool = false) throws -> Jinja.Target {
        var parts: [Jinja.Target] = []
        var isTuple = false
        while true {
            if !parts.isEmpty { try expect(.symbol(",")) }
            if isTupleEnd(end) { break }
            parts.append(try single(namespaces: namespaces))
            guard isSymbol(",") else { break }
            isTuple = true
        }
        if !isTuple, let only = parts.first { return only }
        guard !parts.isEmpty else { throw failure("expected something to assign to, got '\(current.description)'") }
        return .tuple(parts)
    }

    private mutating func single(namespaces: Bool) throws -> Jinja.Target {
        let token = advance()
        switch token.kind {
        case .name(let name):
            guard !["true", "false", "none", "True", "False", "None"].contains(name) else {
                throw failure("'\(name)' cannot be assigned to", at: token.position)
            }
            if namespaces, take(symbol: ".") { return .attribute(number(of: name), try expectName()) }
            guard name != "loop" || !insideLoop else {
                throw failure("'loop' cannot be assigned to inside a loop", at: token.position)
            }
            return .name(number(of: name))
        case .symbol("("):
            let result = try nested { try $0.target(end: nil) }
            try expect(.symbol(")"))
            return result
        default: throw failure("'\(token.description)' cannot be assigned to", at: token.position)
        }
    }
}
