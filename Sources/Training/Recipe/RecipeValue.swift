/// A value as a recipe writes it, and the Swift types that recipe keys can have.
import GDNFormats
import Yams

/// What YAML can say and a recipe understands: scalars, lists of them, and maps.
public enum RecipeValue: Equatable, Sendable {
    /// Nothing: the key's absence written out.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A whole number; `1_000` and `1e6` are whole numbers too.
    case int(Int)
    /// Any other finite number.
    case double(Double)
    /// Text.
    case string(String)
    /// `[a, b]`
    case list([RecipeValue])
    /// Nested keys (the `attn` of a model configuration).
    case map([String: RecipeValue])

    /// Reads a YAML node. Quoted scalars are text whatever they look like.
    init(_ node: Node) {
        switch node {
        case .scalar(let scalar):
            self =
                scalar.style == .plain || scalar.style == .any
                ? RecipeValue(plain: scalar.string) : .string(scalar.string)
        case .sequence(let sequence): self = .list(sequence.map { RecipeValue($0) })
        case .mapping(let mapping):
            var map: [String: RecipeValue] = [:]
            for (key, value) in mapping { map[key.string ?? ""] = RecipeValue(value) }
            self = .map(map)
        case .alias: self = .null
        }
    }

    /// Reads an unquoted scalar.
    init(plain text: String) {
        let digits = text.replacing("_", with: "")
        switch text {
        case "", "~", "null", "Null", "NULL": self = .null
        case "true", "True", "TRUE": self = .bool(true)
        case "false", "False", "FALSE": self = .bool(false)
        default:
            guard let first = digits.first, first.isNumber || "+-.".contains(first) else {
                self = .string(text)
                return
            }
            if let whole = Int(digits) {
                self = .int(whole)
            } else if let number = Double(digits), number.isFinite {
                self = Int(exactly: number).map { abs(number) < 0x1p53 ? .int($0) : .double(number) } ?? .double(number)
            } else {
                self = .string(text)
            }
        }
    }

    /// The value in YAML flow style; reading it gives the value back.
    public var yaml: String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .int(let value): return "\(value)"
        case .double(let value): return "\(value)"
        case .string(let text): return Self.isPlain(text) ? text : JSONValue.string(text).text()
        case .list(let values): return "[" + values.map(\.yaml).joined(separator: ", ") + "]"
        case .map(let map):
            return "{" + map.sorted { $0.key < $1.key }.map { "\($0): \($1.yaml)" }.joined(separator: ", ") + "}"
        }
    }

    private static func isPlain(_ text: String) -> Bool {
        guard let first = text.first, first.isLetter || first == "/" || first == ".",
            text.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "_-./".contains($0)) })
        else { return false }
        return RecipeValue(plain: text) == .string(text)
    }
}

/// A Swift type that a recipe key can have.
public protocol RecipeConvertible: Sendable {
    /// The type in words, e.g. `integer`.
    static var recipeType: String { get }
    /// The value, or nil when what the recipe says is not of this type.
    init?(recipe value: RecipeValue)
    /// The value as the recipe writes it.
    var recipe: RecipeValue { get }
}

extension Int: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "integer" }
    /// Reads a whole number.
    public init?(recipe value: RecipeValue) {
        guard case .int(let number) = value else { return nil }
        self = number
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue { .int(self) }
}

extension Double: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "number" }
    /// Reads a number.
    public init?(recipe value: RecipeValue) {
        switch value {
        case .int(let number): self = Double(number)
        case .double(let number): self = number
        default: return nil
        }
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue {
        Int(exactly: self).map { abs(self) < 0x1p53 ? .int($0) : .double(self) } ?? .double(self)
    }
}

extension Bool: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "true or false" }
    /// Reads `true` or `false`.
    public init?(recipe value: RecipeValue) {
        guard case .bool(let flag) = value else { return nil }
        self = flag
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue { .bool(self) }
}

extension String: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "text" }
    /// Reads text.
    public init?(recipe value: RecipeValue) {
        guard case .string(let text) = value else { return nil }
        self = text
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue { .string(self) }
}

extension Array: RecipeConvertible where Element: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "list of \(Element.recipeType)" }
    /// Reads a list; a single value is a list of one.
    public init?(recipe value: RecipeValue) {
        switch value {
        case .list(let values):
            let elements = values.compactMap { Element(recipe: $0) }
            guard elements.count == values.count else { return nil }
            self = elements
        case .null: self = []
        default:
            guard let element = Element(recipe: value) else { return nil }
            self = [element]
        }
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue { .list(map(\.recipe)) }
}

extension Optional: RecipeConvertible where Wrapped: RecipeConvertible {
    /// The type in words.
    public static var recipeType: String { "\(Wrapped.recipeType) or null" }
    /// Reads the wrapped type or null.
    public init?(recipe value: RecipeValue) {
        if case .null = value {
            self = .none
        } else if let wrapped = Wrapped(recipe: value) {
            self = wrapped
        } else {
            return nil
        }
    }
    /// The value as a recipe writes it.
    public var recipe: RecipeValue { map(\.recipe) ?? .null }
}

extension RecipeConvertible where Self: RawRepresentable & CaseIterable, RawValue == String {
    /// The choices.
    public static var recipeType: String { allCases.map(\.rawValue).joined(separator: " | ") }
    /// The choice of this name.
    public init?(recipe value: RecipeValue) {
        guard case .string(let name) = value else { return nil }
        self.init(rawValue: name)
    }
    /// The choice's name.
    public var recipe: RecipeValue { .string(rawValue) }
}
