extension Jinja.Filters {
    /// Filters of lists and what else has elements.
    static let sequences: [String: Jinja.Filter] = [
        "batch": batch, "first": first, "groupby": groupby, "last": last, "list": list, "map": map,
        "max": { try extreme($0, $1, $2, greatest: true) }, "min": { try extreme($0, $1, $2, greatest: false) },
        "reject": { try select($0, $1, $2, keeps: false, byAttribute: false) },
        "rejectattr": { try select($0, $1, $2, keeps: false, byAttribute: true) }, "reverse": reverse,
        "select": { try select($0, $1, $2, keeps: true, byAttribute: false) },
        "selectattr": { try select($0, $1, $2, keeps: true, byAttribute: true) }, "slice": slice, "sort": sort,
        "sum": sum, "unique": unique,
    ]

    // MARK: Attributes of elements

    typealias Getter = (Value) throws -> Value

    /// Looks up an attribute like `address.city` or `0`; without one the element itself.
    static func attributeGetter(
        _ run: Interpreter, _ attribute: Value, ignoringCase: Bool = false, standard: Value = .null
    ) throws -> Getter {
        var parts: [Value] = []
        switch attribute {
        case .null: break
        case .text(let text):
            parts = text.split(at: ".").map { part in
                let isNumber = !part.isEmpty && part.allSatisfy { $0.properties.numericType == .decimal }
                let number = isNumber ? Int(Text(part).string) : nil
                return number.map { .int($0) } ?? .text(Text(part))
            }
        default: parts = [attribute]
        }
        return { [parts] element in
            var result = element
            for part in parts {
                result = try run.item(part, of: result)
                if case .undefined = result, !standard.isNull { result = standard }
            }
            return ignoringCase ? result.ignoringCase : result
        }
    }

    private static func getter(_ run: Interpreter, _ bound: Jinja.Bound, case place: Int, attribute: Int) throws
        -> Getter
    {
        try attributeGetter(run, bound.value(attribute), ignoringCase: !bound.isTrue(place))
    }

    // MARK: Choosing

    @Sendable private static func first(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: ["seq"], of: "first")
        return try run.cursor(value).next() ?? .undefined(Jinja.Undefined("No first item, sequence was empty."))
    }

    @Sendable private static func last(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: ["seq"], of: "last")
        let empty = Value.undefined(Jinja.Undefined("No last item, sequence was empty."))
        switch value {
        case .text(let text): return text.scalars.last.map { .text(Text(CollectionOfOne($0))) } ?? empty
        case .lazy, .loop: throw Failure(.value, "'\(value.typeName)' object is not reversible")
        default: return try run.elements(value).last ?? empty
        }
    }

    @Sendable private static func list(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: [], of: "list")
        return try run.list(try run.elements(value))
    }

    @Sendable private static func reverse(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        _ = try given.bound(to: [], of: "reverse")
        if case .text(let text) = value { return .text(text.reversed) }
        let elements = Array(try run.elements(value).reversed())
        if case .lazy = value { return try run.list(elements) }
        return try run.lazy(try run.list(elements)) { $0 }
    }

    private static func select(
        _ run: Interpreter, _ value: Value, _ given: Arguments, keeps: Bool, byAttribute: Bool
    ) throws -> Value {
        var rest = given
        guard value.isTrue else { return try run.lazy(.undefined(Jinja.Undefined(""))) { $0 } }
        var key: Getter = { $0 }
        if byAttribute {
            guard !rest.positional.isEmpty else { return try failing(run, "an attribute is missing") }
            key = try attributeGetter(run, rest.positional.removeFirst())
        }
        guard let name = rest.positional.first else {
            return try run.lazy(value) { try key($0).isTrue == keeps ? $0 : nil }
        }
        rest.positional.removeFirst()
        return try run.lazy(value) { [rest] element in
            guard case .text(let name) = name else { throw Failure(.value, "the name of a test must be a string") }
            return try run.test(name.string, try key(element), rest).isTrue == keeps ? element : nil
        }
    }

    /// A generator that fails when it is asked for its first element.
    private static func failing(_ run: Interpreter, _ message: String) throws -> Value {
        try run.lazy(.tuple(try Jinja.Items([.null]))) { _ in throw Failure(.value, message) }
    }

    @Sendable private static func map(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        guard value.isTrue else { return try run.lazy(.undefined(Jinja.Undefined(""))) { $0 } }
        if given.positional.isEmpty, let attribute = given.named.first(where: { $0.name == "attribute" }) {
            let standard = given.named.first { $0.name == "default" }
            guard given.named.count == (standard == nil ? 1 : 2) else {
                return try failing(run, "map got an unexpected argument")
            }
            let key = try attributeGetter(run, attribute.value, standard: standard?.value ?? .null)
            return try run.lazy(value) { try key($0) }
        }
        guard case .text(let name) = given.positional.first else {
            return try failing(run, "map needs the name of a filter")
        }
        let rest = Arguments(positional: Array(given.positional.dropFirst()), named: given.named)
        return try run.lazy(value) { try run.filter(name.string, $0, rest) }
    }

    // MARK: Order

    @Sendable private static func sort(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["reverse", "case_sensitive", "attribute"], of: "sort")
        var keys: [Getter] = []
        if case .text(let names) = bound.value(2) {
            for name in names.split(at: ",") {
                keys.append(try attributeGetter(run, .text(Text(name)), ignoringCase: !bound.isTrue(1)))
            }
        } else {
            keys = [try getter(run, bound, case: 1, attribute: 2)]
        }
        let sorted = try run.sorted(try run.elements(value), reversed: bound.isTrue(0)) { element in
            .list(try Jinja.Items(keys.map { try $0(element) }))
        }
        return try run.list(sorted)
    }

    private static func extreme(
        _ run: Interpreter, _ value: Value, _ given: Arguments, greatest: Bool
    ) throws -> Value {
        let bound = try given.bound(to: ["case_sensitive", "attribute"], of: greatest ? "max" : "min")
        let key = try getter(run, bound, case: 0, attribute: 1)
        let cursor = try run.cursor(value)
        guard var best = try cursor.next() else {
            return .undefined(Jinja.Undefined("No aggregated item, sequence was empty."))
        }
        var bestKey = try key(best)
        while let element = try cursor.next() {
            let candidate = try key(element)
            if try greatest ? run.holds(.greater, candidate, bestKey) : run.isLess(candidate, bestKey) {
                (best, bestKey) = (element, candidate)
            }
        }
        return best
    }

    @Sendable private static func unique(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["case_sensitive", "attribute"], of: "unique")
        let key = try getter(run, bound, case: 0, attribute: 1)
        var seen: Set<Jinja.Key> = []
        return try run.lazy(value) { seen.insert(try Jinja.Key(try key($0))).inserted ? $0 : nil }
    }

    @Sendable private static func groupby(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["attribute", "default", "case_sensitive"], required: 1, of: "groupby")
        let key = try attributeGetter(
            run, bound.value(0), ignoringCase: !bound.isTrue(2), standard: bound.value(1))
        let label = try attributeGetter(run, bound.value(0), standard: bound.value(1))
        var groups: [(key: Value, elements: [Value])] = []
        for element in try run.sorted(try run.elements(value), by: key) {
            let found = try key(element)
            if let last = groups.last, try run.areEqual(last.key, found) {
                groups[groups.count - 1].elements.append(element)
            } else {
                groups.append((found, [element]))
            }
        }
        return try run.list(
            groups.map { group in
                .tuple(
                    try Jinja.Items([try label(group.elements[0]), try run.list(group.elements)], isGroup: true))
            })
    }

    // MARK: Parts and sums

    @Sendable private static func sum(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["attribute", "start"], of: "sum")
        let key = try attributeGetter(run, bound.value(0))
        var result = bound[1] ?? .int(0)
        if case .text = result { throw Failure(.value, "sum() can't sum strings") }
        let cursor = try run.cursor(value)
        while let element = try cursor.next() { result = try run.binary(.add, result, try key(element)) }
        return result
    }

    @Sendable private static func batch(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["linecount", "fill_with"], required: 1, of: "batch")
        let size = try bound.integer(0) ?? 1
        let elements = try run.elements(value)
        guard size > 0 else {
            throw Failure(.unsupported, "batches of \(size) elements are not supported")
        }
        var batches: [Value] = []
        var rest = elements[...]
        while !rest.isEmpty {
            var batch = Array(rest.prefix(size))
            rest = rest.dropFirst(size)
            if batch.count < size, let fill = bound[1], !fill.isNull {
                try run.charge(Jinja.product(8, size))
                batch += Array(repeating: fill, count: size - batch.count)
            }
            batches.append(try run.list(batch))
        }
        return try run.lazy(try run.list(batches)) { $0 }
    }

    @Sendable private static func slice(_ run: Interpreter, _ value: Value, _ given: Arguments) throws -> Value {
        let bound = try given.bound(to: ["slices", "fill_with"], required: 1, of: "slice")
        let slices = try bound.integer(0) ?? 1
        guard slices != 0 else { throw Failure(.value, "integer division or modulo by zero") }
        let elements = try run.elements(value)
        try run.charge(Jinja.product(8, max(slices, 0)))
        var result: [Value] = []
        var start = 0
        for number in 0..<max(slices, 0) {
            let size = elements.count / slices + (number < elements.count % slices ? 1 : 0)
            var part = Array(elements[start..<(start + size)])
            start += size
            if let fill = bound[1], !fill.isNull, number >= elements.count % slices { part.append(fill) }
            result.append(try run.list(part))
        }
        return try run.lazy(try run.list(result)) { $0 }
    }
}

extension Jinja.Value {
    var isNull: Bool { if case .null = self { true } else { false } }

    /// Text in lower case, anything else as it is.
    var ignoringCase: Self {
        if case .text(let text) = self { .text(text.lowercased) } else { self }
    }
}

extension Jinja.Interpreter {
    /// The elements in the order of their keys; equal ones stay in theirs.
    func sorted<Element>(
        _ elements: [Element], reversed: Bool = false, by key: (Element) throws -> Value
    ) throws -> [Element] {
        let keys = try elements.map(key)
        try charge(8 * elements.count)
        let order = try elements.indices.sorted { left, right in
            try charge(4)
            // What equals keeps its order, in reverse as well.
            return try reversed ? isLess(keys[right], keys[left]) : isLess(keys[left], keys[right])
        }
        return order.map { elements[$0] }
    }
}
