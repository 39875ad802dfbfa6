/// Reads one JSON text (RFC 8259), strictly: valid UTF-8, nothing after the value, no doubled keys, at most 128
/// levels deep (a bound on the recursion, so that hostile input cannot exhaust the stack).
struct JSONParser {
    /// What is wrong, and at which byte.
    struct Failure: Error {
        let message: String
        let offset: Int
    }

    private let bytes: UnsafeRawBufferPointer
    private var index = 0
    private var depth = 0
    private static let deepest = 128

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    mutating func parse() throws(Failure) -> JSONValue {
        skipSpace()
        let value = try value()
        skipSpace()
        guard index == bytes.count else { throw failure("something follows the end of the value") }
        return value
    }

    private mutating func value() throws(Failure) -> JSONValue {
        guard index < bytes.count else { throw failure("the text ends where a value should be") }
        switch bytes[index] {
        case UInt8(ascii: "{"): return try nested { parser throws(Failure) in try parser.object() }
        case UInt8(ascii: "["): return try nested { parser throws(Failure) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(Failure) -> JSONValue
    ) throws(Failure) -> JSONValue {
        guard depth < Self.deepest else { throw failure("nested more than \(Self.deepest) levels deep") }
        depth += 1
        index += 1
        skipSpace()
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func object() throws(Failure) -> JSONValue {
        var object = JSONObject()
        if take("}") { return .object(object) }
        while true {
            guard index < bytes.count, bytes[index] == UInt8(ascii: "\"") else {
                throw failure("a key in quotes should be here")
            }
            let start = index
            let key = try string()
            guard object[key] == nil else { throw Failure(message: "the key \"\(key)\" is doubled", offset: start) }
            skipSpace()
            guard take(":") else { throw failure("a colon should be here") }
            skipSpace()
            object[key] = try value()
            skipSpace()
            if take("}") { return .object(object) }
            guard take(",") else { throw failure("a comma or } should be here") }
            skipSpace()
        }
    }

    private mutating func array() throws(Failure) -> JSONValue {
        var values: [JSONValue] = []
        if take("]") { return .array(values) }
        while true {
            values.append(try value())
            skipSpace()
            if take("]") { return .array(values) }
            guard take(",") else { throw failure("a comma or ] should be here") }
            skipSpace()
        }
    }

    private mutating func number() throws(Failure) -> JSONValue {
        let start = index
        _ = take("-")
        guard let first = peek, isDigit(first) else {
            index = start
            throw failure("a value should be here")
        }
        if !take("0") { digits() }
        var whole = true
        if take(".") {
            whole = false
            guard digits() > 0 else { throw failure("a digit should be here") }
        }
        if take("e") || take("E") {
            whole = false
            if !take("+") { _ = take("-") }
            guard digits() > 0 else { throw failure("a digit should be here") }
        }
        let text = String(decoding: bytes[start..<index], as: UTF8.self)
        if whole, let integer = Int(text) { return .integer(integer) }
        guard let double = Double(text), double.isFinite else {
            throw Failure(message: "the number \(text) is out of range", offset: start)
        }
        return .number(double)
    }

    @discardableResult
    private mutating func digits() -> Int {
        let start = index
        while let byte = peek, isDigit(byte) { index += 1 }
        return index - start
    }

    /// A string, from its opening quote to behind its closing one.
    private mutating func string() throws(Failure) -> String {
        index += 1
        let start = index
        while index < bytes.count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\") {
            guard bytes[index] >= 0x20 else { throw failure("a control character inside a string") }
            index += 1
        }
        guard index < bytes.count else { throw failure("the text ends inside a string") }
        if bytes[index] == UInt8(ascii: "\"") {
            index += 1
            return try checked(bytes[start..<(index - 1)], at: start)
        }
        var unescaped = Array(bytes[start..<index])
        while index < bytes.count {
            let byte = bytes[index]
            switch byte {
            case UInt8(ascii: "\""):
                index += 1
                return try checked(unescaped, at: start)
            case UInt8(ascii: "\\"):
                index += 1
                try escape(into: &unescaped)
            case 0..<0x20: throw failure("a control character inside a string")
            default:
                unescaped.append(byte)
                index += 1
            }
        }
        throw failure("the text ends inside a string")
    }

    private func checked(_ part: some Sequence<UInt8>, at offset: Int) throws(Failure) -> String {
        guard let string = String(validating: part, as: UTF8.self) else {
            throw Failure(message: "a string is no valid UTF-8", offset: offset)
        }
        return string
    }

    private mutating func escape(into text: inout [UInt8]) throws(Failure) {
        guard let byte = peek else { throw failure("the text ends inside a string") }
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(8)
        case UInt8(ascii: "f"): text.append(12)
        case UInt8(ascii: "n"): text.append(10)
        case UInt8(ascii: "r"): text.append(13)
        case UInt8(ascii: "t"): text.append(9)
        case UInt8(ascii: "u"): text.append(contentsOf: String(try unicodeEscape()).utf8)
        default: throw failure("an unknown escape inside a string")
        }
    }

    /// The character of `\uXXXX`, or of two of them that form a surrogate pair; half a pair reads as U+FFFD.
    private mutating func unicodeEscape() throws(Failure) -> Unicode.Scalar {
        let first = try hexadecimal()
        if let scalar = Unicode.Scalar(first) { return scalar }
        let after = index
        if first < 0xdc00, take("\\"), take("u") {
            let second = try hexadecimal()
            if (0xdc00..<0xe000).contains(second),
                let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
            {
                return scalar
            }
        }
        index = after
        return "\u{fffd}"
    }

    private mutating func hexadecimal() throws(Failure) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw failure("four hexadecimal digits should follow \\u")
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }

    private mutating func word(_ text: String, _ value: JSONValue) throws(Failure) -> JSONValue {
        guard bytes[index...].starts(with: text.utf8) else { throw failure("a value should be here") }
        index += text.utf8.count
        return value
    }

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { index += 1 }
    }

    private func failure(_ message: String) -> Failure {
        Failure(message: message, offset: index)
    }
}

extension JSONValue {
    /// Reads one JSON text.
    /// - Parameters:
    ///   - bytes: the text in UTF-8
    ///   - file: the name for errors
    ///   - part: the part of the file for errors, e.g. `line 12`
    /// - Throws: `FormatError` with the byte where the text goes wrong.
    public init(parsing bytes: UnsafeRawBufferPointer, file: String, part: String? = nil) throws {
        var parser = JSONParser(bytes)
        do throws(JSONParser.Failure) {
            self = try parser.parse()
        } catch {
            throw FormatError(
                file: file, part: part, rule: "no valid JSON at byte \(error.offset): \(error.message)",
                advice: "correct the text")
        }
    }

    /// Reads one JSON text.
    public init(parsing text: String, file: String = "", part: String? = nil) throws {
        self = try Array(text.utf8).withUnsafeBytes { try JSONValue(parsing: $0, file: file, part: part) }
    }

    /// Reads a file that holds one JSON text.
    /// - Throws: `FormatError` when the file cannot be read or is no JSON.
    public init(contentsOf path: String) throws {
        let file = try MappedFile(path)
        self = try file.read(0..<file.bytes.count) { try JSONValue(parsing: $0, file: path) }
    }
}
