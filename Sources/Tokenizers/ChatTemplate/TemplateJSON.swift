extension Jinja {
    /// Values as JSON, as Python's `json.dumps` writes them.
    struct JSONText {
        var isASCII = false
        /// The text that one level adds to the beginning of a line; nil for everything on one line.
        var indent: String?
        var itemSeparator: String
        var keySeparator = ": "
        var sortsKeys = false

        private var result = ""
        private let interpreter: Interpreter

        init(_ interpreter: Interpreter, indent: String?) {
            self.interpreter = interpreter
            self.indent = indent
            itemSeparator = indent == nil ? ", " : ","
        }

        mutating func text(_ value: Value) throws -> String {
            result = ""
            try write(value, level: 0)
            return result
        }

        private mutating func write(_ value: Value, level: Int) throws {
            try interpreter.charge(4)
            switch value {
            case .null: result += "null"
            case .bool(let value): result += value ? "true" : "false"
            case .int(let value): result += "\(value)"
            case .float(let value): result += Self.number(value)
            case .text(let text): try write(text)
            case .list(let items), .tuple(let items):
                try write(items.values, "[", "]", level) { json, value in try json.write(value, level: level + 1) }
            case .dict(let dictionary):
                try write(try members(dictionary), "{", "}", level) { json, member in
                    try json.write(member.key)
                    json.result += json.keySeparator
                    try json.write(member.value, level: level + 1)
                }
            default: throw Failure(.value, "Object of type \(value.typeName) is not JSON serializable")
            }
        }

        private mutating func write<Element>(
            _ elements: [Element], _ open: String, _ close: String, _ level: Int,
            _ body: (inout JSONText, Element) throws -> Void
        ) throws {
            result += open
            for (index, element) in elements.enumerated() {
                if index > 0 { result += itemSeparator }
                try newLine(level + 1)
                try body(&self, element)
            }
            if !elements.isEmpty { try newLine(level) }
            result += close
        }

        private mutating func newLine(_ level: Int) throws {
            guard let indent else { return }
            try interpreter.charge(indent.utf8.count * level)
            result += "\n" + String(repeating: indent, count: level)
        }

        private func members(_ dictionary: Dictionary) throws -> [(key: Text, value: Value)] {
            var members = dictionary.members.map { (key: $0, value: $1) }
            if sortsKeys { members = try interpreter.sorted(members) { $0.key } }
            return try members.map { (try Self.key($0.key), $0.value) }
        }

        private static func key(_ key: Value) throws -> Text {
            switch key {
            case .text(let text): return text
            case .null: return "null"
            case .bool(let value): return value ? "true" : "false"
            case .int(let value): return Text("\(value)")
            case .float(let value): return Text(number(value))
            default:
                throw Failure(.value, "keys must be str, int, float, bool or None, not \(key.typeName)")
            }
        }

        private static func number(_ value: Double) -> String {
            value.isNaN ? "NaN" : value.isInfinite ? (value < 0 ? "-Infinity" : "Infinity") : floatText(value)
        }

        private mutating func write(_ text: Text) throws {
            try interpreter.charge(text.count)
            result += "\""
            for scalar in text.scalars {
                switch scalar {
                case "\"": result += "\\\""
                case "\\": result += "\\\\"
                case "\n": result += "\\n"
                case "\r": result += "\\r"
                case "\t": result += "\\t"
                case "\u{8}": result += "\\b"
                case "\u{c}": result += "\\f"
                case _ where scalar.value < 0x20 || (isASCII && scalar.value > 0x7e):
                    for unit in UTF16.encode(scalar) ?? UTF16.EncodedScalar() {
                        result += "\\u" + Interpreter.hexadecimal(UInt32(unit), 4)
                    }
                default: result.unicodeScalars.append(scalar)
                }
            }
            result += "\""
        }
    }
}
