extension Jinja {
    /// A name of a variable, numbered by the parser.
    typealias Name = Int

    /// A node of an expression.
    final class Expression: Sendable {
        indirect enum Kind: Sendable {
            case literal(Literal)
            case name(Name)
            case tuple([Expression])
            case list([Expression])
            case dict([Pair])
            case conditional(test: Expression, then: Expression, otherwise: Expression?)
            case or(Expression, Expression)
            case and(Expression, Expression)
            case not(Expression)
            case comparison(Expression, [Comparison])
            case binary(Operator, Expression, Expression)
            case negative(Expression)
            case positive(Expression)
            case concatenation([Expression])
            case attribute(Expression, String)
            case item(Expression, Expression)
            case slice(Expression, start: Expression?, stop: Expression?, step: Expression?)
            case call(Expression, ArgumentList)
            /// Without a value it filters the text of a block.
            case filter(Expression?, String, ArgumentList)
            case test(Expression, String, ArgumentList)
        }

        /// Bounds the recursion of everything that walks through expressions.
        static let deepest = 200

        let kind: Kind
        let position: Position
        private let depth: Int

        init(_ kind: Kind, at position: Position) throws {
            self.kind = kind
            self.position = position
            depth = 1 + (kind.children.map(\.depth).max() ?? 0)
            guard depth <= Self.deepest else {
                throw Failure(.limit, "the expression has more than \(Self.deepest) levels", at: position)
            }
        }
    }

    enum Literal: Sendable {
        case null
        case bool(Bool)
        case int(Int)
        case float(Double)
        case text(Text)
    }

    struct Pair: Sendable {
        let key: Expression
        let value: Expression
    }

    struct Comparison: Sendable {
        enum Relation: Sendable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual, within, notWithin }
        let relation: Relation
        let value: Expression
    }

    enum Operator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
    }

    /// The arguments of a call as written.
    struct ArgumentList: Sendable {
        var positional: [Expression] = []
        var named: [(name: String, value: Expression)] = []
        /// Behind `*`.
        var more: Expression?
        /// Behind `**`.
        var moreNamed: Expression?

        var expressions: [Expression] { positional + named.map(\.value) + [more, moreNamed].compactMap { $0 } }
    }

    /// What is assigned to.
    indirect enum Target: Sendable {
        case name(Name)
        /// `namespace.attribute`
        case attribute(Name, String)
        case tuple([Target])

        /// The leaves, from left to right.
        var leaves: [Target] { if case .tuple(let parts) = self { parts.flatMap(\.leaves) } else { [self] } }
    }

    /// A statement, and where it stands.
    struct Statement: Sendable {
        indirect enum Kind: Sendable {
            case text(Text)
            case output(Expression)
            case condition([Branch], otherwise: [Statement])
            case loop(LoopStatement)
            case set(Target, Expression)
            case setBlock(Target, filter: Expression?, Body)
            case macro(Name, MacroStatement)
            /// `call`: the macro is the caller.
            case call(Expression, MacroStatement)
            case filter(Expression, Body)
            case with([(target: Target, value: Expression)], Body)
            /// `generation`: marks what the model wrote; a scope of its own.
            case generation(Body)
            case `break`
            case `continue`
        }

        let kind: Kind
        let position: Position
    }

    struct Branch: Sendable {
        let test: Expression
        let body: [Statement]
    }

    /// Statements with variables of their own.
    struct Body: Sendable {
        let scope: Int
        let statements: [Statement]
    }

    struct LoopStatement: Sendable {
        let target: Target
        let sequence: Expression
        /// The test, with the number of its scope.
        let filter: (test: Expression, scope: Int)?
        let isRecursive: Bool
        let body: Body
        let otherwise: Body?
    }

    struct MacroStatement: Sendable {
        let name: String
        let parameters: [(name: Name, label: String)]
        /// Of the last parameters.
        let defaults: [Expression]
        let body: Body
        let usesCaller: Bool
        let usesNamed: Bool
        let usesMore: Bool
    }
}
