extension Jinja.Expression.Kind {
    /// The expressions directly inside, in the order of Jinja's own syntax tree.
    var children: [Jinja.Expression] {
        switch self {
        case .literal, .name: []
        case .tuple(let parts), .list(let parts), .concatenation(let parts): parts
        case .dict(let pairs): pairs.flatMap { [$0.key, $0.value] }
        case .conditional(let test, let then, let otherwise): [test, then] + [otherwise].compactMap { $0 }
        case .or(let left, let right), .and(let left, let right), .binary(_, let left, let right),
            .item(let left, let right):
            [left, right]
        case .not(let value), .negative(let value), .positive(let value), .attribute(let value, _): [value]
        case .comparison(let first, let rest): [first] + rest.map(\.value)
        case .slice(let value, let start, let stop, let step): [value] + [start, stop, step].compactMap { $0 }
        case .call(let value, let list), .test(let value, _, let list): [value] + list.expressions
        case .filter(let value, _, let list): [value].compactMap { $0 } + list.expressions
        }
    }
}

extension Jinja {
    /// Walks through statements and tells of every variable that is read or written, in order.
    struct NameWalk {
        private let visit: (_ name: Name, _ isRead: Bool) -> Void

        /// Which of these names the statements read before they write them.
        static func undeclared(_ names: [Name], in statements: [Statement]) -> Set<Name> {
            var pending = Set(names)
            var found: Set<Name> = []
            let walk = NameWalk { name, isRead in
                guard pending.contains(name) else { return }
                if isRead { found.insert(name) } else { pending.remove(name) }
            }
            walk.visit(statements)
            return found
        }

        static func reads(of expression: Expression, _ visit: @escaping (Name) -> Void) {
            NameWalk { name, _ in visit(name) }.visit(expression)
        }

        private func visit(_ expression: Expression) {
            if case .name(let name) = expression.kind { visit(name, true) }
            expression.kind.children.forEach(visit)
        }

        private func visit(_ target: Target) {
            for case .name(let name) in target.leaves { visit(name, false) }
        }

        private func visit(_ macro: MacroStatement) {
            for parameter in macro.parameters { visit(parameter.name, false) }
            macro.defaults.forEach(visit)
            visit(macro.body.statements)
        }

        private func visit(_ statements: [Statement]) {
            for statement in statements {
                switch statement.kind {
                case .text, .break, .continue: break
                case .output(let expression): visit(expression)
                case .condition(let branches, let otherwise):
                    for branch in branches {
                        visit(branch.test)
                        visit(branch.body)
                    }
                    visit(otherwise)
                case .loop(let loop):
                    visit(loop.target)
                    visit(loop.sequence)
                    visit(loop.body.statements)
                    if let otherwise = loop.otherwise { visit(otherwise.statements) }
                    if let filter = loop.filter { visit(filter.test) }
                case .set(let target, let expression):
                    visit(target)
                    visit(expression)
                case .setBlock(let target, let filter, let body):
                    visit(target)
                    if let filter { visit(filter) }
                    visit(body.statements)
                case .macro(_, let macro): visit(macro)
                case .call(let call, let macro):
                    visit(call)
                    visit(macro)
                case .filter(let filter, let body):
                    visit(body.statements)
                    visit(filter)
                case .with(let assignments, let body):
                    assignments.forEach { visit($0.target) }
                    assignments.forEach { visit($0.value) }
                    visit(body.statements)
                case .generation(let body): visit(body.statements)
                }
            }
        }
    }
}
