import GDNFormats

/// Walks over a JSON text without making values of it: vocabularies have hundreds of thousands of entries.
///
/// It finds the parts; small ones are then read by `JSONValue`, which checks them in full.
struct JSONText {
    let bytes: UnsafeRawBufferPointer
    let file: String
    private var index = 0

    init(_ bytes: UnsafeRawBufferPointer, file: String, from index: Int = 0) {
        (self.bytes, self.file, self.index) = (bytes, file, index)
    }

    /// Calls `body` with each key of the object that begins here; `body` reads the value or skips it.
    mutating func object(_ body: (UnsafeRawBufferPointer, inout JSONText) throws -> Void) throws {
        try expect("{")
        var key: [UInt8] = []
        if take("}") { return }
        repeat {
            try string(into: &key)
            try expect(":")
            try key.withUnsafeBytes { try body($0, &self) }
        } while take(",")
        try expect("}")
    }

    /// Calls `body` for each element of the array that begins here; `body` reads the element or skips it.
    mutating func array(_ body: (inout JSONText) throws -> Void) throws {
        try expect("[")
        if take("]") { return }
        repeat { try body(&self) } while take(",")
        try expect("]")
    }

    /// Reads a string, with escapes resolved.
    mutating func string(into text: inout [UInt8]) throws {
        text.removeAll(keepingCapacity: true)
        skipSpace()
        let start = index
        guard peek == UInt8(ascii: "\"") else { throw failure("a string should be here") }
        index += 1
        while let byte = peek {
            index += 1
            if byte == UInt8(ascii: "\"") { return }
            if byte == UInt8(ascii: "\\") {
                // Escapes are rare: the strict reader resolves them for the string as a whole.
                index = start
                let range = try skip()
                let value = try JSONValue(parsing: UnsafeRawBufferPointer(rebasing: bytes[range]), file: file)
                text = Array((value.string ?? "").utf8)
                return
            }
            guard byte >= 0x20 else { throw failure("a control character inside a string") }
            text.append(byte)
        }
        throw failure("the text ends inside a string")
    }

    /// Reads a whole number of at most 31 bits.
    mutating func integer() throws -> Int32 {
        skipSpace()
        var (value, digits) = (0, 0)
        while let byte = peek, (0x30...0x39).contains(byte), digits < 11 {
            value = value * 10 + Int(byte - 0x30)
            index += 1
            digits += 1
        }
        guard digits > 0, let result = Int32(exactly: value) else {
            throw failure("a whole number from 0 to \(Int32.max) should be here")
        }
        return result
    }

    /// Whether a string comes next.
    mutating func isAtString() -> Bool {
        skipSpace()
        return peek == UInt8(ascii: "\"")
    }

    /// Reads the value that begins here.
    mutating func value(part: String) throws -> JSONValue {
        let range = try skip()
        return try JSONValue(parsing: UnsafeRawBufferPointer(rebasing: bytes[range]), file: file, part: part)
    }

    /// Passes over the value that begins here.
    /// - Returns: where it lies.
    @discardableResult
    mutating func skip() throws -> Range<Int> {
        skipSpace()
        let start = index
        var depth = 0
        repeat {
            skipSpace()
            guard let byte = peek else { throw failure("the text ends inside a value") }
            switch byte {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                index += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                guard depth > 0 else { throw failure("a value should be here") }
                depth -= 1
                index += 1
            case UInt8(ascii: "\""): try skipString()
            case UInt8(ascii: ","), UInt8(ascii: ":"):
                guard depth > 0 else { throw failure("a value should be here") }
                index += 1
            default:
                let first = index
                while let byte = peek, byte > 0x20, !",:]}[{\"".utf8.contains(byte) { index += 1 }
                guard index > first else { throw failure("a value should be here") }
            }
        } while depth > 0
        return start..<index
    }

    /// Makes sure that nothing follows.
    mutating func end() throws {
        skipSpace()
        guard index == bytes.count else { throw failure("something follows the end of the value") }
    }

    /// An error at this place.
    func failure(_ message: String) -> FormatError {
        FormatError(
            file: file, rule: "no tokenizer.json at byte \(index): \(message)",
            advice: "take the file as it was published")
    }

    private mutating func skipString() throws {
        index += 1
        while let byte = peek {
            index += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return }
        }
        throw failure("the text ends inside a string")
    }

    private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func expect(_ character: Unicode.Scalar) throws {
        guard take(character) else { throw failure("\(character) should be here") }
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { index += 1 }
    }
}
