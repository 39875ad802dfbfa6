extension Jinja {
    /// A template, read.
    struct Program: Sendable {
        let statements: [Statement]
        /// What the numbers of variables stand for.
        let names: [String]
        let layouts: [Layout]
        /// The number of `loop`, if the template has a loop.
        let loopName: Name?
    }

    /// Turns tokens into statements and expressions.
    struct Parser {
        /// How deeply statements, brackets and prefix operators may be nested.
        static let deepest = 100
        static let mostNames = 4096

        private let tokens: [Token]
        private var index = 0
        private var numbers: [String: Name] = [:]
        private(set) var names: [String] = []
        private(set) var scopes = 1
        var depth = 0
        /// `break` and `continue` have a loop around them.
        var insideLoop = false

        init(_ tokens: [Token]) {
            self.tokens = tokens
        }

        static func program(_ source: String) throws -> Program {
            var lexer = Lexer(source)
            var parser = Parser(try lexer.tokenize())
            let statements = try parser.statements(until: [])
            guard parser.names.count <= Self.mostNames else {
                throw Failure(.limit, "the template has more than \(Self.mostNames) names of variables")
            }
            var scopes = ScopeAnalysis(count: parser.scopes, names: parser.names)
            try scopes.analyze(statements)
            return Program(
                statements: statements, names: parser.names, layouts: scopes.layouts,
                loopName: parser.numbers["loop"])
        }

        // MARK: Tokens

        var current: Token { tokens[index] }
        var next: Token { tokens[min(index + 1, tokens.count - 1)] }

        @discardableResult
        mutating func advance() -> Token {
            defer { index = min(index + 1, tokens.count - 1) }
            return tokens[index]
        }

        func isName(_ name: String) -> Bool { current.kind == .name(name) }
        func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }

        mutating func take(name: String) -> Bool { take(.name(name)) }
        mutating func take(symbol: String) -> Bool { take(.symbol(symbol)) }

        mutating func take(_ kind: Token.Kind) -> Bool {
            guard current.kind == kind else { return false }
            advance()
            return true
        }

        mutating func expect(_ kind: Token.Kind) throws {
            guard take(kind) else {
                let expected = Token(kind: kind, position: current.position).description
                throw failure("expected '\(expected)', got '\(current.description)'")
            }
        }

        mutating func expectName() throws -> String {
            guard case .name(let name) = current.kind else {
                throw failure("expected a name, got '\(current.description)'")
            }
            advance()
            return name
        }

        func failure(_ message: String, at position: Position? = nil) -> Failure {
            Failure(.syntax, message, at: position ?? current.position)
        }

        // MARK: Names and scopes

        mutating func number(of name: String) -> Name {
            if let number = numbers[name] { return number }
            numbers[name] = names.count
            names.append(name)
            return names.count - 1
        }

        mutating func newScope() -> Int {
            defer { scopes += 1 }
            return scopes
        }

        /// Runs `body` one level deeper.
        mutating func nested<Result>(_ body: (inout Parser) throws -> Result) throws -> Result {
            guard depth < Self.deepest else {
                throw Failure(.limit, "nested more than \(Self.deepest) deep", at: current.position)
            }
            depth += 1
            defer { depth -= 1 }
            return try body(&self)
        }
    }
}
