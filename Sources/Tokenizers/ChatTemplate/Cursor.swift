extension Jinja {
    /// Goes through the elements of a value.
    final class Cursor {
        /// How many elements there are, when that is known before the end.
        let length: Int?
        private let step: () throws -> Value?

        init(length: Int? = nil, _ step: @escaping () throws -> Value?) {
            self.length = length
            self.step = step
        }

        convenience init(_ values: [Value]) {
            var iterator = values.makeIterator()
            self.init(length: values.count) { iterator.next() }
        }

        func next() throws -> Value? { try step() }
    }
}

extension Jinja.Interpreter {
    /// The elements of a value, one by one.
    /// - Throws: when the value has no elements.
    func cursor(_ value: Value) throws -> Jinja.Cursor {
        switch value {
        case .list(let items), .tuple(let items): return Jinja.Cursor(items.values)
        case .text(let text):
            var iterator = text.scalars.makeIterator()
            return Jinja.Cursor(length: text.count) {
                iterator.next().map { .text(Jinja.Text(CollectionOfOne($0))) }
            }
        case .dict(let dictionary): return Jinja.Cursor(dictionary.keys)
        case .view(let view): return Jinja.Cursor(try view.elements())
        case .range(let span):
            var iterator = (0..<span.count).makeIterator()
            return Jinja.Cursor(length: span.count) { iterator.next().map(span.element) }
        case .lazy(let lazy): return Jinja.Cursor { try lazy.next() }
        case .undefined: return Jinja.Cursor([])
        case .loop(let loop):
            return Jinja.Cursor {
                try loop.next().map { .tuple(try Jinja.Items([$0, .loop(loop)])) }
            }
        default: throw Failure(.value, "'\(value.typeName)' object is not iterable")
        }
    }

    /// All elements of a value.
    /// - Parameter limit: how many are wanted; one more is looked at.
    func elements(_ value: Value, atMost limit: Int = .max) throws -> [Value] {
        switch value {
        case .list(let items), .tuple(let items):
            try charge(items.values.count)
            return items.values
        default:
            let cursor = try cursor(value)
            var result: [Value] = []
            while result.count <= limit, let element = try cursor.next() {
                try charge(8)
                result.append(element)
            }
            return result
        }
    }

    /// The number of elements.
    /// - Throws: when the value has no length.
    func length(_ value: Value) throws -> Int {
        switch value {
        case .undefined: 0
        case .loop(let loop): try loop.length()
        case .text, .list, .tuple, .dict, .view, .range: try cursor(value).length ?? 0
        default: throw Failure(.value, "object of type '\(value.typeName)' has no len()")
        }
    }

    /// A generator over the elements of a value.
    func lazy(_ value: Value, _ transform: @escaping (Value) throws -> Value?) throws -> Value {
        let depth = value.depth
        var cursor: Jinja.Cursor?
        return .lazy(
            try Jinja.Lazy(depth: depth) { [unowned self] in
                try nested {
                    let source = try cursor ?? self.cursor(value)
                    cursor = source
                    while let element = try source.next() {
                        try charge(8)
                        if let result = try transform(element) { return result }
                    }
                    return nil
                }
            })
    }

    func list(_ values: [Value]) throws -> Value {
        try charge(8 * values.count)
        return .list(try Jinja.Items(values))
    }
}
