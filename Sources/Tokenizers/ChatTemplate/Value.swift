extension Jinja {
    /// What an expression evaluates to: Python's values as far as templates meet them.
    ///
    /// Lists and dictionaries never change once they are made (the sandbox of transformers forbids it), so only
    /// namespaces are references that a template can write to.
    enum Value {
        case undefined(Undefined)
        case null
        case bool(Bool)
        case int(Int)
        case float(Double)
        case text(Text)
        case list(Items)
        case tuple(Items)
        case dict(Dictionary)
        case view(View)
        case range(Span)
        case lazy(Lazy)
        case namespace(Namespace)
        case macro(Macro)
        case function(Function)
        case method(Method)
        case loop(Loop)

        static func string(_ string: String) -> Value { .text(Text(string)) }
    }

    /// Nothing; says why when it is used.
    struct Undefined {
        let message: String

        init(_ message: String) { self.message = message }
        init(name: String) { message = "'\(name)' is undefined" }
    }

    /// How deeply containers may hold containers. Bounds the recursion of everything that walks through values.
    static let deepestValue = 200

    /// The elements of a list or tuple.
    final class Items {
        let values: [Value]
        let depth: Int
        /// The elements and theirs in turn, counted as often as they can be reached; bounds the work of a walk.
        let weight: Int
        /// A tuple of `groupby`, whose elements have names.
        let isGroup: Bool

        init(_ values: [Value], isGroup: Bool = false) throws {
            self.values = values
            self.isGroup = isGroup
            (depth, weight) = try Jinja.extent(of: values)
        }
    }

    /// A dictionary in the order of insertion.
    final class Dictionary {
        private(set) var keys: [Value] = []
        private(set) var values: [Value] = []
        private var places: [Key: Int] = [:]
        private(set) var depth = 1
        private(set) var weight = 1

        /// Of keys that are equal the first stays, with the last one's value.
        init(_ members: [(key: Value, value: Value)]) throws {
            for (key, value) in members {
                let hashed = try Key(key)
                if let place = places[hashed] {
                    values[place] = value
                } else {
                    places[hashed] = keys.count
                    keys.append(key)
                    values.append(value)
                }
            }
            let (keyDepth, keyWeight) = try Jinja.extent(of: keys)
            let (valueDepth, valueWeight) = try Jinja.extent(of: values)
            (depth, weight) = (max(keyDepth, valueDepth), Jinja.sum(keyWeight, valueWeight))
        }

        var count: Int { keys.count }

        /// The value of a key, or nil.
        /// - Throws: when the key cannot be hashed.
        subscript(key: Value) -> Value? {
            get throws { places[try Key(key)].map { values[$0] } }
        }

        subscript(key: Key) -> Value? { places[key].map { values[$0] } }

        subscript(key: Text) -> Value? { places[Key(key)].map { values[$0] } }

        var members: Zip2Sequence<[Value], [Value]> { zip(keys, values) }
    }

    /// `dict.keys()`, `dict.values()`, `dict.items()`.
    struct View {
        enum Part: String { case keys, values, items }
        let part: Part
        let dictionary: Dictionary

        func elements() throws -> [Value] {
            switch part {
            case .keys: dictionary.keys
            case .values: dictionary.values
            case .items: try dictionary.members.map { .tuple(try Items([$0, $1])) }
            }
        }
    }

    /// `range(start, stop, step)`
    struct Span: Equatable {
        var start = 0
        var stop: Int
        var step = 1

        var count: Int {
            let (low, high) = step > 0 ? (start, stop) : (stop, start)
            guard high > low else { return 0 }
            let (distance, overflow) = high.subtractingReportingOverflow(low)
            return overflow ? Int.max : Int(UInt(distance - 1) / step.magnitude) + 1
        }

        func element(_ index: Int) -> Value { .int(start + index * step) }
    }

    /// A generator: gives each element once.
    final class Lazy {
        let depth: Int
        private let step: () throws -> Value?

        init(depth: Int, _ step: @escaping () throws -> Value?) throws {
            guard depth < Jinja.deepestValue else { throw Jinja.tooDeep }
            self.depth = depth + 1
            self.step = step
        }

        func next() throws -> Value? { try step() }
    }

    /// `namespace(…)`: the one thing a template can change.
    final class Namespace {
        var names: [String] = []
        var values: [String: Value] = [:]

        func set(_ name: String, _ value: Value) {
            if values.updateValue(value, forKey: name) == nil { names.append(name) }
        }

        func clear() { (names, values) = ([], [:]) }
    }

    /// A function of the environment, by name.
    enum Function: String {
        case range, namespace, dict, fromkeys
        case raiseException = "raise_exception"
        case strftimeNow = "strftime_now"
    }

    /// A method taken from its value, not yet called.
    final class Method {
        let receiver: Value
        let name: String

        init(_ receiver: Value, _ name: String) {
            self.receiver = receiver
            self.name = name
        }
    }

    static let tooDeep = Failure(.limit, "containers are nested more than \(deepestValue) deep")

    static func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? Int.max : sum
    }

    private static func extent(of values: [Value]) throws -> (depth: Int, weight: Int) {
        var (depth, weight) = (0, 1)
        for value in values {
            depth = max(depth, value.depth)
            weight = sum(weight, value.weight)
        }
        guard depth < deepestValue else { throw tooDeep }
        return (depth + 1, weight)
    }
}

extension Jinja.Value {
    /// How deeply the value holds others.
    var depth: Int {
        switch self {
        case .list(let items), .tuple(let items): items.depth
        case .dict(let dictionary): dictionary.depth
        case .view(let view): view.dictionary.depth + 1
        case .lazy(let lazy): lazy.depth
        case .method(let method): method.receiver.depth
        default: 0
        }
    }

    /// How much work a walk through the value is.
    var weight: Int {
        switch self {
        case .list(let items), .tuple(let items): items.weight
        case .dict(let dictionary): dictionary.weight
        case .view(let view): view.dictionary.weight
        case .text(let text): 1 + text.count / 8
        default: 1
        }
    }

    /// The name of the type in Python.
    var typeName: String {
        switch self {
        case .undefined: "Undefined"
        case .null: "NoneType"
        case .bool: "bool"
        case .int: "int"
        case .float: "float"
        case .text(let text): text.isMarkup ? "Markup" : "str"
        case .list: "list"
        case .tuple: "tuple"
        case .dict: "dict"
        case .view(let view): "dict_\(view.part.rawValue)"
        case .range: "range"
        case .lazy: "generator"
        case .namespace: "Namespace"
        case .macro: "Macro"
        case .function: "function"
        case .method: "builtin_function_or_method"
        case .loop: "LoopContext"
        }
    }

    /// Python's truth of the value.
    var isTrue: Bool {
        switch self {
        case .undefined, .null: false
        case .bool(let value): value
        case .int(let value): value != 0
        case .float(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let items), .tuple(let items): !items.values.isEmpty
        case .dict(let dictionary): dictionary.count > 0
        case .view(let view): view.dictionary.count > 0
        case .range(let span): span.count > 0
        case .lazy, .namespace, .macro, .function, .method, .loop: true
        }
    }
}
