import GDNFormats

extension Jinja {
    /// A value as the key of a dictionary: equal numbers are one key, whatever their type.
    enum Key: Hashable {
        case null
        case int(Int)
        case float(Double)
        case text(Text)
        case tuple([Key])
        case range(count: Int, start: Int, step: Int)
        case other(ObjectIdentifier)
        case undefined

        init(_ text: Text) { self = .text(text) }

        /// - Throws: when Python could not hash the value, or it is a tuple of enormous extent.
        init(_ value: Value) throws {
            switch value {
            case .null: self = .null
            case .bool(let value): self = .int(value ? 1 : 0)
            case .int(let value): self = .int(value)
            case .float(let value): self = Int(exactly: value).map { .int($0) } ?? .float(value)
            case .text(let text): self = .text(text)
            case .undefined: self = .undefined
            case .tuple(let items):
                guard items.weight < 100_000 else { throw Failure(.limit, "a tuple is too large for a key") }
                self = .tuple(try items.values.map(Key.init))
            case .range(let span):
                let count = span.count
                self = .range(count: count, start: count == 0 ? 0 : span.start, step: count < 2 ? 0 : span.step)
            case .namespace(let namespace): self = .other(ObjectIdentifier(namespace))
            case .macro(let macro): self = .other(ObjectIdentifier(macro))
            default: throw Failure(.value, "unhashable type: '\(value.typeName)'")
            }
        }
    }
}

extension Jinja.Value {
    /// A value of JSON.
    init(_ json: JSONValue) throws {
        switch json {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .int(value)
        case .number(let value): self = .float(value)
        case .string(let value): self = .string(value)
        case .array(let values): self = .list(try Jinja.Items(values.map(Self.init)))
        case .object(let object): self = .dict(try Jinja.Dictionary(object.members.map { (.string($0), try Self($1)) }))
        }
    }
}
