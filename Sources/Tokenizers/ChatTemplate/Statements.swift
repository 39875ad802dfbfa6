extension Jinja.Interpreter {
    typealias Value = Jinja.Value
    typealias Failure = Jinja.Failure

    func execute(_ statements: [Jinja.Statement]) throws -> Jinja.Flow {
        for statement in statements {
            try charge(4)
            position = statement.position
            let flow = try execute(statement)
            if flow != .goesOn { return flow }
        }
        return .goesOn
    }

    private func execute(_ statement: Jinja.Statement) throws -> Jinja.Flow {
        switch statement.kind {
        case .text(let text): try write(text)
        case .output(let expression):
            let value = try evaluate(expression)
            position = expression.position
            if case .text(let text) = value { try write(text) } else { try write(Jinja.Text(try string(value))) }
        case .condition(let branches, let otherwise): return try nested { try condition(branches, otherwise) }
        case .loop(let loop):
            guard loop.isRecursive else { return try nested { try run(loop) } }
            try write(try recursive(loop))
        case .set(let target, let expression): try set(target, expression, at: statement.position)
        case .setBlock(let target, let filter, let body): try nested { try set(target, filter, body) }
        case .macro(let name, let macro): frame.set(name, .macro(try newMacro(macro)))
        case .call(let call, let macro): try nested { try callBlock(call, macro) }
        case .filter(let filter, let body):
            try nested {
                let inner = newFrame(body.scope)
                enter(inner)
                let text = try captured { _ = try within(inner) { try execute(body.statements) } }
                try write(Jinja.Text(try string(within(inner) { try evaluate(filter, piped: .text(text)) })))
            }
        case .with(let assignments, let body): return try nested { try with(assignments, body) }
        case .generation(let body):
            let inner = newFrame(body.scope)
            enter(inner)
            _ = try nested { try within(inner) { try execute(body.statements) } }
        case .break: return .breaks
        case .continue: return .continues
        }
        return .goesOn
    }

    func write(_ text: Jinja.Text) throws {
        try charge(text.count)
        output += text.scalars
    }

    private func condition(_ branches: [Jinja.Branch], _ otherwise: [Jinja.Statement]) throws -> Jinja.Flow {
        for branch in branches where try evaluate(branch.test).isTrue { return try execute(branch.body) }
        return try execute(otherwise)
    }

    private func with(
        _ assignments: [(target: Jinja.Target, value: Jinja.Expression)], _ body: Jinja.Body
    ) throws -> Jinja.Flow {
        let inner = newFrame(body.scope)
        enter(inner)
        for (target, expression) in assignments {
            let value = try evaluate(expression)
            try within(inner) { try assign(value, to: target) }
        }
        return try within(inner) { try execute(body.statements) }
    }

    private func callBlock(_ call: Jinja.Expression, _ statement: Jinja.MacroStatement) throws {
        let caller = try newMacro(statement)
        guard case .call(let callee, let list) = call.kind else { return }
        let function = try evaluate(callee)
        var arguments = try evaluate(list)
        guard !arguments.named.contains(where: { $0.name == "caller" }) else {
            throw Failure(.value, "the argument 'caller' is given twice")
        }
        arguments.named.append(("caller", .macro(caller)))
        position = call.position
        try write(Jinja.Text(try string(try self.call(function, arguments))))
    }

    // MARK: Assignment

    private func set(
        _ target: Jinja.Target, _ expression: Jinja.Expression, at position: Jinja.Position
    ) throws {
        for case .attribute(let name, _) in target.leaves { _ = try namespace(name) }
        let value = try evaluate(expression)
        self.position = position
        try assign(value, to: target)
    }

    private func set(_ target: Jinja.Target, _ filter: Jinja.Expression?, _ body: Jinja.Body) throws {
        let inner = newFrame(body.scope)
        enter(inner)
        let text = try captured { _ = try within(inner) { try execute(body.statements) } }
        let value = try filter.map { filter in
            try within(inner) { try evaluate(filter, piped: .text(text)) }
        }
        try assign(value ?? .text(text), to: target)
    }

    private func namespace(_ name: Jinja.Name) throws -> Jinja.Namespace {
        guard case .namespace(let namespace) = frame.find(name) else {
            throw Failure(.value, "'\(program.names[name])' is no namespace: only those have attributes to assign to")
        }
        return namespace
    }

    func assign(_ value: Value, to target: Jinja.Target) throws {
        switch target {
        case .name(let name): frame.set(name, value)
        case .attribute(let name, let attribute):
            let namespace = try namespace(name)
            try checkAttribute(attribute)
            namespace.set(attribute, value)
        case .tuple(let targets):
            let values = try elements(value, atMost: targets.count)
            guard values.count == targets.count else {
                let found = values.count > targets.count ? "more" : "\(values.count)"
                throw Failure(.value, "\(targets.count) values are to be unpacked, there are \(found)")
            }
            for (target, value) in zip(targets, values) { try assign(value, to: target) }
        }
    }

    /// Names that begin with an underscore are not for templates.
    func checkAttribute(_ name: String) throws {
        if name.utf8.first == UInt8(ascii: "_") {
            throw Failure(.value, "a namespace cannot have an attribute that begins with '_': '\(name)'")
        }
    }
}
