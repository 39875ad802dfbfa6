extension Jinja {
    /// A filter: gets the value before the bar and the arguments in brackets.
    typealias Filter = @Sendable (Interpreter, Value, Arguments) throws -> Value

    /// The filters by name.
    enum Filters {
        static let all: [String: Filter] = text.merging(sequences) { $1 }.merging(values) { $1 }

        /// Filters of values of any type.
        private static let values: [String: Filter] = [
            "abs": abs, "attr": attribute, "count": length, "d": standard, "default": standard, "float": float,
            "int": int, "items": items, "length": length, "round": round, "tojson": json, "dictsort": dictsort,
        ]

        @Sendable private static func abs(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            _ = try given.bound(to: [], of: "abs")
            if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
            switch Number(value) {
            case .float(let value): return .float(value.magnitude)
            case .int(let whole): return whole < 0 ? try run.negated(.int(whole)) : .int(whole)
            case nil: throw Failure(.value, "bad operand type for abs(): '\(value.typeName)'")
            }
        }

        @Sendable private static func attribute(
            _ run: Interpreter, _ value: Value, _ given: Arguments
        ) throws -> Value {
            let name = try given.bound(to: ["name"], required: 1, of: "attr").text(0).string
            if case .dict(let dictionary) = value, dictionary[Text(name)] != nil,
                Methods.standing(of: name, on: value) == .unknown
            {
                return .undefined(Undefined("'dict object' has no attribute '\(name)'"))
            }
            return try run.attribute(name, of: value)
        }

        @Sendable private static func length(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            _ = try given.bound(to: [], of: "length")
            return .int(try run.length(value))
        }

        @Sendable private static func standard(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["default_value", "boolean"], of: "default")
            let isMissing = if case .undefined = value { true } else { bound.isTrue(1) && !value.isTrue }
            return isMissing ? bound[0] ?? .text("") : value
        }

        @Sendable private static func items(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            _ = try given.bound(to: [], of: "items")
            switch value {
            case .undefined: return try run.lazy(.undefined(Undefined(""))) { $0 }
            case .dict(let dictionary):
                return try run.lazy(.view(View(part: .items, dictionary: dictionary))) { $0 }
            default: throw Failure(.value, "items needs a mapping, not '\(value.typeName)'")
            }
        }

        @Sendable private static func dictsort(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["case_sensitive", "by", "reverse"], of: "dictsort")
            let by = try bound[1] == nil ? "key" : bound.text(1)
            guard by == "key" || by == "value" else { throw Failure(.value, "dictsort sorts by 'key' or 'value'") }
            if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
            guard case .dict(let dictionary) = value else {
                throw Failure(.value, "dictsort needs a dict, not '\(value.typeName)'")
            }
            let keepsCase = bound.isTrue(0)
            let sorted = try run.sorted(dictionary.members.map { ($0, $1) }, reversed: bound.isTrue(2)) { member in
                let value = by == "key" ? member.0 : member.1
                return keepsCase ? value : value.ignoringCase
            }
            return try run.list(sorted.map { .tuple(try Items([$0.0, $0.1])) })
        }

        @Sendable private static func json(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["ensure_ascii", "indent", "separators", "sort_keys"], of: "tojson")
            var indent: String?
            switch bound.value(1) {
            case .null: break
            case .text(let text): indent = text.string
            default:
                let width = max(0, try bound.integer(1) ?? 0)
                guard width <= 1000 else { throw Failure(.limit, "tojson indents by at most 1000 spaces") }
                indent = String(repeating: " ", count: width)
            }
            var json = JSONText(run, indent: indent)
            json.isASCII = bound.isTrue(0)
            json.sortsKeys = bound.isTrue(3)
            if let separators = bound[2], separators.isTrue {
                let parts = try run.elements(separators, atMost: 2)
                guard parts.count == 2, case .text(let item) = parts[0], case .text(let key) = parts[1] else {
                    throw Failure(.value, "separators must be two strings")
                }
                (json.itemSeparator, json.keySeparator) = (item.string, key.string)
            }
            return .string(try json.text(value))
        }

        // MARK: Numbers

        @Sendable private static func float(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["default"], of: "float")
            if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
            return Numerals.float(value).map { .float($0) } ?? bound[0] ?? .float(0)
        }

        @Sendable private static func int(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["default", "base"], of: "int")
            if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
            let standard = bound[0] ?? .int(0)
            let base = try bound.integer(1) ?? 10
            switch value {
            case .int, .bool: return .int(run.integer(value) ?? 0)
            case .float(let value): return try Numerals.truncated(value, or: standard, run)
            case .text(let text):
                if let whole = try Numerals.integer(text, base: base) { return .int(whole) }
                guard let float = Numerals.float(value) else { return standard }
                return float.isFinite ? try Numerals.truncated(float, or: standard, run) : standard
            default: return standard
            }
        }

        @Sendable private static func round(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
            let bound = try given.bound(to: ["precision", "method"], of: "round")
            let precision = try bound.integer(0) ?? 0
            let method = try bound[1] == nil ? "common" : bound.text(1)
            guard ["common", "ceil", "floor"].contains(method) else {
                throw Failure(.value, "round knows the methods common, ceil and floor")
            }
            if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
            guard let number = Number(value) else {
                throw Failure(.value, "'\(value.typeName)' cannot be rounded")
            }
            if method == "common" { return try Numerals.rounded(number, precision, run) }
            let scale = try run.binary(.power, .int(10), .int(precision))
            let scaled = try run.binary(.multiply, value, scale)
            guard let product = Number(scaled)?.double, product.isFinite else {
                throw Failure(.value, "the number cannot be rounded")
            }
            let whole = product.rounded(method == "ceil" ? .up : .down)
            guard let integer = Int(exactly: whole) else { throw run.overflow64 }
            return try run.binary(.divide, .int(integer), scale)
        }
    }
}
