/// A JSON value that keeps the order of its keys and tells whole numbers from others.
///
/// The readers here need what Foundation's decoder does not give: refusal of doubled keys, the byte where a text
/// goes wrong, and speed on millions of short lines.
public indirect enum JSONValue: Sendable, Equatable {
    /// `null`
    case null
    /// `true` or `false`
    case bool(Bool)
    /// A number written without fraction and exponent that fits 64 bits.
    case integer(Int)
    /// Any other number.
    case number(Double)
    /// A text.
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Keys with values.
    case object(JSONObject)

    /// The value of `key` when this is an object that has it.
    public subscript(key: String) -> JSONValue? { object?[key] }

    /// The object, or nil.
    public var object: JSONObject? { if case .object(let value) = self { value } else { nil } }
    /// The elements, or nil.
    public var array: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    /// The text, or nil.
    public var string: String? { if case .string(let value) = self { value } else { nil } }
    /// The whole number, or nil.
    public var integer: Int? { if case .integer(let value) = self { value } else { nil } }
    /// The truth value, or nil.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The number, whole or not, or nil.
    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}

/// The keys of a JSON object in the order of the text, each once.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// Keys in order.
    public private(set) var keys: [String] = []
    private var values: [String: JSONValue] = [:]

    /// An object without keys.
    public init() {}

    /// An object with these keys in this order; of a doubled key the last value stays.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        for (key, value) in elements { self[key] = value }
    }

    /// The value of a key; nil removes it, a new key goes last.
    public subscript(key: String) -> JSONValue? {
        get { values[key] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: key) == nil { keys.append(key) }
            } else if values.removeValue(forKey: key) != nil {
                keys.removeAll { $0 == key }
            }
        }
    }

    /// Keys with values, in order.
    public var members: [(key: String, value: JSONValue)] {
        keys.compactMap { key in values[key].map { (key, $0) } }
    }
}

extension JSONValue {
    /// The value as JSON text, which is YAML too: keys in their order, characters beyond ASCII as they are, but for control
    /// characters.
    ///
    /// Numbers are written so that reading gives the same bits; NaN and infinities, which JSON cannot say, as `null`.
    /// - Parameter indented: two spaces a level and one entry a line, or everything on one line.
    public func text(indented: Bool = false) -> String {
        var result = ""
        write(into: &result, indent: indented ? 0 : nil)
        return result
    }

    private func write(into text: inout String, indent: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += "\(value)"
        case .number(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): Self.write(value, into: &text)
        case .array(let values):
            Self.write(values, "[", "]", into: &text, indent: indent) { value, text, indent in
                value.write(into: &text, indent: indent)
            }
        case .object(let object):
            Self.write(object.members, "{", "}", into: &text, indent: indent) { member, text, indent in
                Self.write(member.key, into: &text)
                text += indent == nil ? ":" : ": "
                member.value.write(into: &text, indent: indent)
            }
        }
    }

    private static func write<Element>(
        _ elements: [Element], _ open: String, _ close: String, into text: inout String, indent: Int?,
        _ body: (Element, inout String, Int?) -> Void
    ) {
        text += open
        for (index, element) in elements.enumerated() {
            if index > 0 { text += "," }
            if let indent { text += "\n" + String(repeating: "  ", count: indent + 1) }
            body(element, &text, indent.map { $0 + 1 })
        }
        if let indent, !elements.isEmpty { text += "\n" + String(repeating: "  ", count: indent) }
        text += close
    }

    private static func write(_ string: String, into text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20 || (0x7f..<0xa0).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral {
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int) { self = .integer(value) }
}
