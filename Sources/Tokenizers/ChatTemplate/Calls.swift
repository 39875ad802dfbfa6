import GDNTensor

extension Jinja.Interpreter {
    func call(_ function: Value, _ arguments: Jinja.Arguments) throws -> Value {
        switch function {
        case .macro(let macro): return try nested { .text(try call(macro, arguments)) }
        case .function(let function): return try call(function, arguments)
        case .method(let method): return try call(method, arguments)
        case .loop(let loop):
            let bound = try arguments.bound(to: ["iterable"], required: 1, of: "loop")
            return try recurse(loop, bound.value(0))
        case .undefined(let undefined): throw Failure(.undefined, undefined.message)
        default: throw Failure(.value, "'\(function.typeName)' object is not callable")
        }
    }

    // MARK: Macros

    private func call(_ macro: Jinja.Macro, _ arguments: Jinja.Arguments) throws -> Jinja.Text {
        let statement = macro.statement
        guard let parent = macro.frame else { throw Failure(.value, "the macro is gone") }
        let inner = newFrame(statement.body.scope, parent: parent)
        var named = arguments.named
        var isGiven: [Bool] = []
        for (place, (name, label)) in statement.parameters.enumerated() {
            var value = place < arguments.positional.count ? arguments.positional[place] : nil
            if value == nil, let found = named.firstIndex(where: { $0.name == label }) {
                value = named.remove(at: found).value
            }
            inner.set(name, value)
            isGiven.append(value != nil)
        }
        try bindSpecial(statement, arguments, &named, inner, given: isGiven)
        enter(inner)
        return try within(inner) {
            let firstDefault = statement.parameters.count - statement.defaults.count
            for (place, (name, label)) in statement.parameters.enumerated() where !isGiven[place] {
                let value =
                    place < firstDefault
                    ? Value.undefined(Jinja.Undefined("parameter '\(label)' was not provided"))
                    : try evaluate(statement.defaults[place - firstDefault])
                inner.set(name, value)
            }
            return try captured { _ = try execute(statement.body.statements) }
        }
    }

    /// `caller`, `kwargs` and `varargs`, and what is wrong when a macro does not use them.
    private func bindSpecial(
        _ statement: Jinja.MacroStatement, _ arguments: Jinja.Arguments,
        _ named: inout [(name: String, value: Value)], _ frame: Jinja.Frame, given: [Bool]
    ) throws {
        let count = statement.parameters.count
        if statement.usesCaller, !statement.parameters.contains(where: { $0.label == "caller" }) {
            let place = named.firstIndex { $0.name == "caller" }
            let caller = place.map { named.remove(at: $0).value }
            let missing = Value.undefined(Jinja.Undefined("No caller defined"))
            if case .null = caller {
                setSpecial("caller", missing, frame)
            } else {
                setSpecial("caller", caller ?? missing, frame)
            }
        }
        if statement.usesNamed {
            let members = named.map { (key: Value.string($0.name), value: $0.value) }
            setSpecial("kwargs", .dict(try Jinja.Dictionary(members)), frame)
        } else if let extra = named.first {
            throw Failure(.value, "macro '\(statement.name)' takes no keyword argument '\(extra.name)'")
        }
        if statement.usesMore {
            setSpecial("varargs", .tuple(try Jinja.Items(Array(arguments.positional.dropFirst(count)))), frame)
        } else if arguments.positional.count > count {
            throw Failure(.value, "macro '\(statement.name)' takes not more than \(count) arguments")
        }
    }

    private func setSpecial(_ name: String, _ value: Value, _ frame: Jinja.Frame) {
        for (place, (number, _)) in frame.layout.loads.enumerated() where program.names[number] == name {
            frame.values[place] = value
        }
    }

    // MARK: Functions of the environment

    private func call(_ function: Jinja.Function, _ arguments: Jinja.Arguments) throws -> Value {
        switch function {
        case .range: return .range(try range(arguments))
        case .namespace:
            let namespace = try newNamespace()
            for (key, value) in try dictionary(arguments, of: "namespace").members {
                guard case .text(let name) = key else { throw Failure(.value, "names of attributes must be strings") }
                try checkAttribute(name.string)
                namespace.set(name.string, value)
            }
            return .namespace(namespace)
        case .dict: return .dict(try dictionary(arguments, of: "dict"))
        case .fromkeys:
            let bound = try arguments.bound(to: ["iterable", "value"], required: 1, byName: false, of: "fromkeys")
            let value = bound.value(1)
            return .dict(try Jinja.Dictionary(elements(bound.value(0)).map { ($0, value) }))
        case .raiseException:
            let bound = try arguments.bound(to: ["message"], required: 1, of: function.rawValue)
            throw Failure(.raised, try string(bound.value(0)))
        case .strftimeNow:
            let bound = try arguments.bound(to: ["format"], required: 1, of: function.rawValue)
            return .string(try Self.time(seconds, try bound.text(0).string))
        }
    }

    private func range(_ arguments: Jinja.Arguments) throws -> Jinja.Span {
        let bound = try arguments.bound(to: ["start", "stop", "step"], required: 1, byName: false, of: "range")
        let first = try bound.integer(0) ?? 0
        let span = Jinja.Span(
            start: bound[1] == nil ? 0 : first, stop: try bound.integer(1) ?? first, step: try bound.integer(2) ?? 1)
        guard span.step != 0 else { throw Failure(.value, "range() arg 3 must not be zero") }
        guard span.count <= 100_000 else { throw Failure(.limit, "a range has at most 100000 elements") }
        return span
    }

    private func dictionary(_ arguments: Jinja.Arguments, of function: String) throws -> Jinja.Dictionary {
        guard arguments.positional.count <= 1 else {
            throw Failure(.value, "\(function) takes at most one argument without a name")
        }
        var members: [(key: Value, value: Value)] = []
        switch arguments.positional.first {
        case .dict(let dictionary): members = dictionary.members.map { (key: $0, value: $1) }
        case .undefined(let undefined): throw Failure(.undefined, undefined.message)
        case .some(let pairs):
            for pair in try elements(pairs) {
                let parts = try elements(pair, atMost: 2)
                guard parts.count == 2 else { throw Failure(.value, "\(function) expected pairs") }
                members.append((parts[0], parts[1]))
            }
        case nil: break
        }
        members += arguments.named.map { (key: .string($0.name), value: $0.value) }
        try charge(8 * members.count)
        return try Jinja.Dictionary(members)
    }

    /// The local time by a format of the C library.
    private static func time(_ seconds: Int, _ format: String) throws -> String {
        guard !format.isEmpty else { return "" }
        guard format.utf8.count <= 1000, !format.utf8.contains(0) else {
            throw Failure(.limit, "the format of a time is too long")
        }
        var moment = time_t(seconds)
        var parts = tm()
        guard localtime_r(&moment, &parts) != nil else { throw Failure(.value, "the time is out of range") }
        // A character in front tells an empty result from a failure.
        let result = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 16384) { buffer in
            let length = strftime(buffer.baseAddress, buffer.count, "x" + format, &parts)
            return String(decoding: buffer.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        guard !result.isEmpty else { throw Failure(.value, "the format of a time gives too long a text") }
        return String(result.dropFirst())
    }
}
