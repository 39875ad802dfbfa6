/// `value.name`, `value[index]` and slices, as Jinja's sandbox looks things up.
extension Jinja.Interpreter {
    /// `value.name`: an attribute of the type first, then an element.
    func attribute(_ name: String, of value: Value) throws -> Value {
        if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
        if let found = try ownAttribute(name, of: value) { return found }
        if case .dict(let dictionary) = value, let found = dictionary[Jinja.Text(name)] { return found }
        return .undefined(Jinja.Undefined("'\(value.typeName) object' has no attribute '\(name)'"))
    }

    /// `value[index]`: an element first, then an attribute of the type.
    func item(_ index: Value, of value: Value) throws -> Value {
        switch value {
        case .undefined(let undefined): throw Failure(.undefined, undefined.message)
        case .dict(let dictionary):
            try charge(index.weight)
            if let key = try? Jinja.Key(index), let found = dictionary[key] { return found }
        case .list(let items), .tuple(let items):
            if let place = place(index, count: items.values.count) { return items.values[place] }
        case .text(let text):
            if let place = place(index, count: text.count) {
                return .text(Jinja.Text(CollectionOfOne(text.scalars[place]), isMarkup: text.isMarkup))
            }
        case .range(let span):
            if let place = place(index, count: span.count) { return span.element(place) }
        default: break
        }
        if case .text(let name) = index, let found = try ownAttribute(name.string, of: value) { return found }
        let element = try representation(index)
        return .undefined(Jinja.Undefined("'\(value.typeName) object' has no element \(element)"))
    }

    /// What Python's type itself has under this name.
    private func ownAttribute(_ name: String, of value: Value) throws -> Value? {
        if case .namespace(let namespace) = value { return namespace.values[name] }
        if name.hasPrefix("__"), name.hasSuffix("__"), name.utf8.count > 4 {
            return unsafe(name, of: value)
        }
        switch value {
        case .loop(let loop): return try loop.attribute(name)
        case .macro(let macro):
            switch name {
            case "name": return .string(macro.statement.name)
            case "arguments": return .tuple(try Jinja.Items(macro.statement.parameters.map { .string($0.label) }))
            default: return nil
            }
        case .range(let span):
            switch name {
            case "start": return .int(span.start)
            case "stop": return .int(span.stop)
            case "step": return .int(span.step)
            default: break
            }
        case .tuple(let items) where items.isGroup && items.values.count == 2:
            if name == "grouper" { return items.values[0] }
            if name == "list" { return items.values[1] }
        case .function(.dict): return name == "fromkeys" ? .function(.fromkeys) : nil
        default: break
        }
        switch Jinja.Methods.standing(of: name, on: value) {
        case .here: return .method(Jinja.Method(value, name))
        case .forbidden: return unsafe(name, of: value)
        case .elsewhere: throw Failure(.unsupported, "the method '\(name)' of \(value.typeName) is not supported")
        case .unknown: return nil
        }
    }

    private func unsafe(_ name: String, of value: Value) -> Value {
        .undefined(Jinja.Undefined("access to attribute '\(name)' of '\(value.typeName)' object is unsafe"))
    }

    /// An index, which may count from the end, as a place; nil when it is none.
    private func place(_ index: Value, count: Int) -> Int? {
        guard let index = integer(index) else { return nil }
        let place = index < 0 ? index + count : index
        return (0..<count).contains(place) ? place : nil
    }

    /// A whole number, which a truth value is as well.
    func integer(_ value: Value) -> Int? {
        switch value {
        case .int(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    // MARK: Slices

    func slice(_ value: Value, _ bounds: [Value]) throws -> Value {
        if case .undefined(let undefined) = value { throw Failure(.undefined, undefined.message) }
        let (start, stop, step) = (try bound(bounds[0]), try bound(bounds[1]), try bound(bounds[2]) ?? 1)
        guard step != 0 else { throw Failure(.value, "slice step cannot be zero") }
        func places(_ count: Int) throws -> Jinja.Span {
            let span = Self.places(start, stop, step, count)
            try charge(span.count)
            return span
        }
        switch value {
        case .list(let items):
            let span = try places(items.values.count)
            return try list((0..<span.count).map { items.values[span.start + $0 * step] })
        case .tuple(let items):
            let span = try places(items.values.count)
            return .tuple(try Jinja.Items((0..<span.count).map { items.values[span.start + $0 * step] }))
        case .text(let text):
            let span = try places(text.count)
            let scalars = (0..<span.count).map { text.scalars[span.start + $0 * step] }
            return .text(Jinja.Text(scalars, isMarkup: text.isMarkup))
        case .range(let range):
            let span = Self.places(start, stop, step, range.count)
            let (product, overflow) = range.step.multipliedReportingOverflow(by: step)
            guard !overflow, abs(span.stop) <= range.count else { throw overflow64 }
            return .range(
                Jinja.Span(
                    start: range.start + span.start * range.step, stop: range.start + span.stop * range.step,
                    step: product))
        default: throw Failure(.value, "'\(value.typeName)' object cannot be sliced")
        }
    }

    private func bound(_ value: Value) throws -> Int? {
        if case .null = value { return nil }
        guard let value = integer(value) else { throw Failure(.value, "slice indices must be integers or None") }
        return value
    }

    /// Python's places of `start:stop:step` in a sequence.
    private static func places(_ start: Int?, _ stop: Int?, _ step: Int, _ count: Int) -> Jinja.Span {
        let (low, high) = step > 0 ? (0, count) : (-1, count - 1)
        func clamp(_ index: Int?, _ standard: Int) -> Int {
            guard let index else { return standard }
            return index < 0 ? max(low, index < -count ? low : index + count) : min(index, high)
        }
        return Jinja.Span(
            start: clamp(start, step > 0 ? 0 : count - 1), stop: clamp(stop, step > 0 ? count : -1), step: step)
    }
}
