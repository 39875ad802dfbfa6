extension Jinja {
    /// Methods of Python's types that templates call.
    enum Methods {
        enum Standing { case here, forbidden, elsewhere, unknown }

        /// Whether a type has a method of this name, and whether a template may call it.
        static func standing(of name: String, on value: Value) -> Standing {
            let (here, forbidden, elsewhere) =
                switch value {
                case .text: (TextMethods.names, Set<String>(), TextMethods.missing)
                case .list: (Set(["count", "index", "copy"]), changingList, Set<String>())
                case .tuple, .range: (Set(["count", "index"]), Set<String>(), Set<String>())
                case .dict:
                    (Set(["copy", "get", "items", "keys", "values"]), changingDictionary, Set(["fromkeys"]))
                case .view: (Set<String>(), Set<String>(), Set(["isdisjoint", "mapping"]))
                case .int, .bool, .float:
                    (
                        Set<String>(), Set<String>(),
                        Set([
                            "as_integer_ratio", "bit_count", "bit_length", "conjugate", "denominator", "from_bytes",
                            "fromhex", "hex", "imag", "is_integer", "numerator", "real", "to_bytes",
                        ])
                    )
                default: (Set<String>(), Set<String>(), Set<String>())
                }
            return here.contains(name)
                ? .here : forbidden.contains(name) ? .forbidden : elsewhere.contains(name) ? .elsewhere : .unknown
        }

        private static let changingList: Set<String> = [
            "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
        ]
        private static let changingDictionary: Set<String> = ["clear", "pop", "popitem", "setdefault", "update"]
    }
}

extension Jinja.Interpreter {
    func call(_ method: Jinja.Method, _ given: Jinja.Arguments) throws -> Value {
        switch method.receiver {
        case .text(let text): return try Jinja.TextMethods.call(self, text, method.name, given)
        case .dict(let dictionary): return try call(method.name, of: dictionary, given)
        case .list(let items) where method.name == "copy":
            _ = try given.bound(to: [], of: "copy")
            return .list(items)
        case .list, .tuple, .range: return try search(method.receiver, method.name, given)
        case .loop(let loop): return try call(method.name, of: loop, given)
        default: throw Failure(.unsupported, "the method '\(method.name)' is not supported")
        }
    }

    private func call(_ name: String, of dictionary: Jinja.Dictionary, _ given: Jinja.Arguments) throws -> Value {
        switch name {
        case "get":
            let bound = try given.bound(to: ["key", "default"], required: 1, byName: false, of: name)
            return try dictionary[bound.value(0)] ?? bound.value(1)
        case "copy":
            _ = try given.bound(to: [], of: name)
            return .dict(dictionary)
        default:
            _ = try given.bound(to: [], of: name)
            guard let part = Jinja.View.Part(rawValue: name) else {
                throw Failure(.unsupported, "the method '\(name)' is not supported")
            }
            return .view(Jinja.View(part: part, dictionary: dictionary))
        }
    }

    /// `count` and `index` of a sequence.
    private func search(_ value: Value, _ name: String, _ given: Jinja.Arguments) throws -> Value {
        let parameters = name == "index" ? ["value", "start", "stop"] : ["value"]
        let bound = try given.bound(to: parameters, required: 1, byName: false, of: name)
        let elements = try elements(value)
        if name == "count" {
            return .int(try elements.count { try areEqual($0, bound.value(0)) })
        }
        func place(_ index: Int, _ standard: Int) throws -> Int {
            let given = try bound.integer(index) ?? standard
            return min(max(given < 0 ? given + elements.count : given, 0), elements.count)
        }
        let (start, stop) = (try place(1, 0), try place(2, elements.count))
        if start < stop {
            for index in start..<stop where try areEqual(elements[index], bound.value(0)) { return .int(index) }
        }
        throw Failure(.value, "\(try representation(bound.value(0))) is not in the \(value.typeName)")
    }

    private func call(_ name: String, of loop: Jinja.Loop, _ given: Jinja.Arguments) throws -> Value {
        guard given.named.isEmpty else { throw Failure(.value, "loop.\(name) takes no arguments by name") }
        if name == "changed" { return .bool(try loop.changed(given.positional, self)) }
        guard !given.positional.isEmpty else { throw Failure(.value, "no items for cycling given") }
        let count = given.positional.count
        return given.positional[((loop.index0 % count) + count) % count]
    }
}
