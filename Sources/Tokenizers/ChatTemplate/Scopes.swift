extension Jinja {
    /// How a variable of a scope gets its value when the scope is entered.
    enum Load: Sendable {
        /// From who enters the scope.
        case parameter
        /// None; reading it before a `set` gives an undefined value.
        case missing
        /// From what the template was given.
        case resolve
        /// From the scope around.
        case outer
    }

    /// The variables of a scope.
    struct Layout: Sendable {
        var places: [Name: Int] = [:]
        var loads: [(name: Name, load: Load)] = []
    }

    /// Finds which variables each scope has.
    ///
    /// Jinja decides this before it runs: a name that a scope writes anywhere belongs to it, with the value of the
    /// scope around as long as it is not written. So a `set` inside a loop ends with the turn of the loop. Branches
    /// of `if` share the scope they are in.
    struct ScopeAnalysis {
        private(set) var layouts: [Layout]
        private let names: [String]
        private let special: [Name]

        private struct Symbols {
            var loads: [Name: Load] = [:]
            var stores: Set<Name> = []
        }

        init(count: Int, names: [String]) {
            layouts = [Layout](repeating: Layout(), count: count)
            self.names = names
            special = ["caller", "kwargs", "varargs", "loop"].map { names.firstIndex(of: $0) ?? -1 }
        }

        mutating func analyze(_ statements: [Statement]) throws {
            try scope(0, statements, outer: [], isSoft: false) { _, _ in }
        }

        /// One scope: first the names of all its statements, then the scopes inside.
        private mutating func scope(
            _ number: Int, _ statements: [Statement], outer: [Symbols], isSoft: Bool,
            _ prepare: (inout Symbols, [Symbols]) -> Void
        ) throws {
            var symbols = Symbols()
            prepare(&symbols, outer)
            for statement in statements { Self.collect(statement, &symbols, outer) }
            finish(number, symbols)
            for statement in statements { try descend(into: statement, outer + [symbols], isSoft: isSoft) }
        }

        private mutating func finish(_ number: Int, _ symbols: Symbols) {
            for (name, load) in symbols.loads.sorted(by: { $0.key < $1.key }) {
                layouts[number].places[name] = layouts[number].loads.count
                layouts[number].loads.append((name, load))
            }
        }

        // MARK: Names of one scope

        private static func isKnown(_ name: Name, _ outer: [Symbols]) -> Bool {
            outer.contains { $0.loads[name] != nil }
        }

        private static func read(_ expression: Expression, _ symbols: inout Symbols, _ outer: [Symbols]) {
            var names: [Name] = []
            NameWalk.reads(of: expression) { names.append($0) }
            for name in names { read(name, &symbols, outer) }
        }

        private static func read(_ name: Name, _ symbols: inout Symbols, _ outer: [Symbols]) {
            if symbols.loads[name] == nil, !isKnown(name, outer) { symbols.loads[name] = .resolve }
        }

        private static func write(_ name: Name, _ symbols: inout Symbols, _ outer: [Symbols]) {
            symbols.stores.insert(name)
            if symbols.loads[name] == nil { symbols.loads[name] = isKnown(name, outer) ? .outer : .missing }
        }

        private static func declare(_ name: Name, _ symbols: inout Symbols) {
            symbols.stores.insert(name)
            symbols.loads[name] = .parameter
        }

        private static func write(_ target: Target, _ symbols: inout Symbols, _ outer: [Symbols]) {
            for leaf in target.leaves {
                switch leaf {
                case .name(let name): write(name, &symbols, outer)
                case .attribute(let name, _): read(name, &symbols, outer)
                case .tuple: break
                }
            }
        }

        private static func declare(_ target: Target, _ symbols: inout Symbols) {
            for case .name(let name) in target.leaves { declare(name, &symbols) }
        }

        private static func collect(_ statement: Statement, _ symbols: inout Symbols, _ outer: [Symbols]) {
            switch statement.kind {
            case .text, .break, .continue, .generation: break
            case .output(let expression): read(expression, &symbols, outer)
            case .condition(let branches, let otherwise): collect(branches[...], otherwise, &symbols, outer)
            case .loop(let loop): read(loop.sequence, &symbols, outer)
            case .set(let target, let expression):
                read(expression, &symbols, outer)
                write(target, &symbols, outer)
            case .setBlock(let target, _, _): write(target, &symbols, outer)
            case .macro(let name, _): write(name, &symbols, outer)
            case .call(let call, _): read(call, &symbols, outer)
            case .filter(let filter, _): read(filter, &symbols, outer)
            case .with(let assignments, _): for assignment in assignments { read(assignment.value, &symbols, outer) }
            }
        }

        /// The branches of an `if`: each sees what was there before; afterwards what any of them wrote is known.
        private static func collect(
            _ branches: ArraySlice<Branch>, _ otherwise: [Statement], _ symbols: inout Symbols, _ outer: [Symbols]
        ) {
            guard let first = branches.first else { return }
            read(first.test, &symbols, outer)
            func inner(_ visit: (inout Symbols) -> Void) -> Symbols {
                var copy = symbols
                visit(&copy)
                return copy
            }
            let results = [
                inner { copy in for statement in first.body { collect(statement, &copy, outer) } },
                inner { copy in
                    for branch in branches.dropFirst() { collect([branch][...], [], &copy, outer) }
                },
                inner { copy in for statement in otherwise { collect(statement, &copy, outer) } },
            ]
            let written = results.reduce(into: Set<Name>()) { $0.formUnion($1.stores) }.subtracting(symbols.stores)
            let (loads, stores) = (symbols.loads.count, symbols.stores.count)
            for result in results where result.loads.count > loads || result.stores.count > stores {
                symbols.loads.merge(result.loads) { $1 }
                symbols.stores.formUnion(result.stores)
            }
            for name in written { symbols.loads[name] = isKnown(name, outer) ? .outer : .resolve }
        }

        // MARK: Scopes inside, and names of filters and tests

        private mutating func descend(into statement: Statement, _ outer: [Symbols], isSoft: Bool) throws {
            switch statement.kind {
            case .text, .break, .continue: break
            case .output(let expression): try check(expression, isSoft)
            case .set(_, let expression): try check(expression, isSoft)
            case .condition(let branches, let otherwise):
                for branch in branches {
                    for statement in branch.body { try descend(into: statement, outer, isSoft: true) }
                }
                for statement in otherwise { try descend(into: statement, outer, isSoft: true) }
            case .loop(let loop): try descend(into: loop, outer, isSoft: isSoft)
            case .setBlock(_, let filter, let body):
                try scope(body.scope, body.statements, outer: outer, isSoft: false) { _, _ in }
                if let filter { try check(filter, false) }
            case .macro(_, let macro): try descend(into: macro, outer)
            case .call(let call, let macro):
                try check(call, isSoft)
                try descend(into: macro, outer)
            case .filter(let filter, let body):
                try check(filter, false)
                try scope(body.scope, body.statements, outer: outer, isSoft: false) { symbols, outer in
                    Self.read(filter, &symbols, outer)
                }
            case .with(let assignments, let body):
                for assignment in assignments { try check(assignment.value, isSoft) }
                try scope(body.scope, body.statements, outer: outer, isSoft: false) { symbols, _ in
                    for assignment in assignments { Self.declare(assignment.target, &symbols) }
                }
            case .generation(let body): try scope(body.scope, body.statements, outer: outer, isSoft: false) { _, _ in }
            }
        }

        private mutating func descend(into loop: LoopStatement, _ outer: [Symbols], isSoft: Bool) throws {
            try check(loop.sequence, isSoft)
            let variable = special[3]
            try scope(loop.body.scope, loop.body.statements, outer: outer, isSoft: false) { symbols, _ in
                Self.declare(variable, &symbols)
                Self.declare(loop.target, &symbols)
            }
            if let otherwise = loop.otherwise {
                try scope(otherwise.scope, otherwise.statements, outer: outer, isSoft: false) { _, _ in }
            }
            if let (test, number) = loop.filter {
                try check(test, false)
                var symbols = Symbols()
                Self.declare(loop.target, &symbols)
                Self.read(test, &symbols, outer)
                finish(number, symbols)
            }
        }

        private mutating func descend(into macro: MacroStatement, _ outer: [Symbols]) throws {
            for value in macro.defaults { try check(value, false) }
            let implied = zip(special, [macro.usesCaller, macro.usesNamed, macro.usesMore]).filter(\.1).map(\.0)
            try scope(macro.body.scope, macro.body.statements, outer: outer, isSoft: false) { symbols, outer in
                for parameter in macro.parameters { Self.declare(parameter.name, &symbols) }
                for value in macro.defaults { Self.read(value, &symbols, outer) }
                for name in implied { Self.declare(name, &symbols) }
            }
        }

        /// Outside of branches every filter and test must exist; inside them it is enough when it is not used.
        private func check(_ expression: Expression, _ isSoft: Bool) throws {
            if isSoft { return }
            switch expression.kind {
            case .conditional: return
            case .filter(_, let name, _) where Filters.all[name] == nil:
                throw Failure(.unsupported, "unknown filter '\(name)'", at: expression.position)
            case .test(_, let name, _) where Tests.all[name] == nil:
                throw Failure(.unsupported, "unknown test '\(name)'", at: expression.position)
            default: break
            }
            for child in expression.kind.children { try check(child, isSoft) }
        }
    }
}
