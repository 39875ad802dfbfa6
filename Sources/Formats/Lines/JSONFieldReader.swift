import GDNFormatsKernels
import GDNTensor

/// Finds the text under one key of a JSON object and checks everything else on the way, without building any of it.
///
/// The answer is the one that `JSONValue` would give, or none: what is rare (escapes in keys, keys beyond ASCII, more than
/// 64 keys in an object, numbers of extreme size) and what is wrong is left to the full parser, which also words the
/// errors. So the two cannot disagree on a line that this reader answers; a test feeds both millions of mutated lines.
package struct JSONFieldReader {
    /// What a line holds.
    package enum Answer {
        /// The text under the key, in memory of the line.
        case text(UnsafeRawBufferPointer)
        /// The line is valid but has no such key, or no text there.
        case absent
        /// Only the full parser can tell.
        case unsure
    }

    private enum Found {
        case nothing
        case other
        case string(Range<Int>, hasEscapes: Bool)
    }

    private static let deepest = 128
    private static let mostKeys = 64
    private let field: [UInt8]
    private let isFieldPlain: Bool
    /// The keys of the objects that are open, the innermost last.
    private var keys: [Range<Int>] = []
    private var count = 0
    private var index = 0
    private var found = Found.nothing

    /// A reader of the text under `field`.
    package init(field: String) {
        self.field = Array(field.utf8)
        isFieldPlain = field.utf8.allSatisfy { $0 < 0x80 }
    }

    /// Reads one line.
    /// - Parameter line: valid UTF-8; a text with escapes is decoded in place, and only when the answer is a text.
    package mutating func read(_ line: UnsafeMutableRawBufferPointer) -> Answer {
        guard isFieldPlain, let start = line.baseAddress else { return .unsure }
        (count, index, found) = (line.count, 0, .nothing)
        keys.removeAll(keepingCapacity: true)
        let bytes = UnsafePointer(start.assumingMemoryBound(to: UInt8.self))
        skipSpace(bytes)
        guard take("{", bytes), object(bytes, depth: 1) else { return .unsure }
        skipSpace(bytes)
        guard index == count else { return .unsure }
        switch found {
        case .nothing, .other: return .absent
        case .string(let range, false):
            return .text(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(line)[range]))
        case .string(let range, true):
            let decoded = Self.unescape(UnsafeMutableRawBufferPointer(rebasing: line[range]))
            return .text(UnsafeRawBufferPointer(start: start + range.lowerBound, count: decoded))
        }
    }

    /// An object from behind its brace on.
    private mutating func object(_ bytes: UnsafePointer<UInt8>, depth: Int) -> Bool {
        let first = keys.count
        skipSpace(bytes)
        if take("}", bytes) { return true }
        while true {
            guard let key = key(bytes, from: first) else { return false }
            skipSpace(bytes)
            guard take(":", bytes) else { return false }
            skipSpace(bytes)
            if depth == 1, equal(bytes, key, field) {
                if index < count, bytes[index] == UInt8(ascii: "\"") {
                    let start = index + 1
                    guard let hasEscapes = string(bytes) else { return false }
                    found = .string(start..<(index - 1), hasEscapes: hasEscapes)
                } else {
                    guard value(bytes, depth: depth) else { return false }
                    found = .other
                }
            } else {
                guard value(bytes, depth: depth) else { return false }
            }
            skipSpace(bytes)
            if take("}", bytes) {
                keys.removeLast(keys.count - first)
                return true
            }
            guard take(",", bytes) else { return false }
            skipSpace(bytes)
        }
    }

    /// A key that is plain ASCII and unlike those before it in its object.
    private mutating func key(_ bytes: UnsafePointer<UInt8>, from first: Int) -> Range<Int>? {
        guard take("\"", bytes) else { return nil }
        let start = index
        var all: UInt8 = 0
        while index < count, bytes[index] != UInt8(ascii: "\""), bytes[index] != UInt8(ascii: "\\"),
            bytes[index] >= 0x20
        {
            all |= bytes[index]
            index += 1
        }
        let key = start..<index
        guard take("\"", bytes), all < 0x80, keys.count - first < Self.mostKeys else { return nil }
        for other in keys[first...] where other.count == key.count {
            guard memcmp(bytes + other.lowerBound, bytes + start, key.count) != 0 else { return nil }
        }
        keys.append(key)
        return key
    }

    private mutating func value(_ bytes: UnsafePointer<UInt8>, depth: Int) -> Bool {
        guard index < count else { return false }
        switch bytes[index] {
        case UInt8(ascii: "\""): return string(bytes) != nil
        case UInt8(ascii: "{"):
            guard depth < Self.deepest else { return false }
            index += 1
            return object(bytes, depth: depth + 1)
        case UInt8(ascii: "["):
            guard depth < Self.deepest else { return false }
            index += 1
            return array(bytes, depth: depth + 1)
        case UInt8(ascii: "t"): return word("true", bytes)
        case UInt8(ascii: "f"): return word("false", bytes)
        case UInt8(ascii: "n"): return word("null", bytes)
        default: return number(bytes)
        }
    }

    private mutating func array(_ bytes: UnsafePointer<UInt8>, depth: Int) -> Bool {
        skipSpace(bytes)
        if take("]", bytes) { return true }
        while true {
            guard value(bytes, depth: depth) else { return false }
            skipSpace(bytes)
            if take("]", bytes) { return true }
            guard take(",", bytes) else { return false }
            skipSpace(bytes)
        }
    }

    /// A string from its opening quote to behind its closing one: whether it has escapes; nil when it is none.
    private mutating func string(_ bytes: UnsafePointer<UInt8>) -> Bool? {
        index += 1
        var hasEscapes = false
        while true {
            index += gdn_json_plain_prefix(bytes + index, count - index)
            guard index < count else { return nil }
            if bytes[index] == UInt8(ascii: "\"") {
                index += 1
                return hasEscapes
            }
            guard bytes[index] == UInt8(ascii: "\\"), index + 1 < count else { return nil }
            hasEscapes = true
            switch bytes[index + 1] {
            case UInt8(ascii: "n"), UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "t"),
                UInt8(ascii: "r"), UInt8(ascii: "b"), UInt8(ascii: "f"):
                index += 2
            case UInt8(ascii: "u"):
                guard index + 6 <= count, (2..<6).allSatisfy({ Self.digit(bytes[index + $0]) != nil }) else {
                    return nil
                }
                index += 6
            default: return nil
            }
        }
    }

    /// A number that is certainly finite: at most 200 characters and an exponent of at most two digits.
    private mutating func number(_ bytes: UnsafePointer<UInt8>) -> Bool {
        let start = index
        _ = take("-", bytes)
        if !take("0", bytes) {
            guard digits(bytes) > 0 else { return false }
        }
        if take(".", bytes) {
            guard digits(bytes) > 0 else { return false }
        }
        if take("e", bytes) || take("E", bytes) {
            if !take("+", bytes) { _ = take("-", bytes) }
            guard (1...2).contains(digits(bytes)) else { return false }
        }
        return index - start <= 200
    }

    private mutating func digits(_ bytes: UnsafePointer<UInt8>) -> Int {
        let start = index
        while index < count, bytes[index] >= 0x30, bytes[index] <= 0x39 { index += 1 }
        return index - start
    }

    private mutating func word(_ text: StaticString, _ bytes: UnsafePointer<UInt8>) -> Bool {
        let length = text.utf8CodeUnitCount
        guard index + length <= count, memcmp(bytes + index, text.utf8Start, length) == 0 else { return false }
        index += length
        return true
    }

    private func equal(_ bytes: UnsafePointer<UInt8>, _ range: Range<Int>, _ other: [UInt8]) -> Bool {
        range.count == other.count && memcmp(bytes + range.lowerBound, other, other.count) == 0
    }

    private mutating func take(_ character: Unicode.Scalar, _ bytes: UnsafePointer<UInt8>) -> Bool {
        guard index < count, bytes[index] == UInt8(ascii: character) else { return false }
        index += 1
        return true
    }

    private mutating func skipSpace(_ bytes: UnsafePointer<UInt8>) {
        while index < count {
            let byte = bytes[index]
            guard byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 else { return }
            index += 1
        }
    }
}

extension JSONFieldReader {
    /// Decodes the escapes of a valid string in place; returns its new length, which is never larger.
    private static func unescape(_ string: UnsafeMutableRawBufferPointer) -> Int {
        guard let start = string.baseAddress else { return 0 }
        let bytes = start.assumingMemoryBound(to: UInt8.self)
        var (from, to) = (0, 0)
        while from < string.count {
            let run = gdn_json_plain_prefix(bytes + from, string.count - from)
            if from > to { memmove(bytes + to, bytes + from, run) }
            from += run
            to += run
            guard from < string.count else { break }
            switch bytes[from + 1] {
            case UInt8(ascii: "u"):
                let scalar = scalar(bytes, &from, string.count)
                for byte in String(scalar).utf8 {
                    bytes[to] = byte
                    to += 1
                }
                continue
            case UInt8(ascii: "n"): bytes[to] = 10
            case UInt8(ascii: "t"): bytes[to] = 9
            case UInt8(ascii: "r"): bytes[to] = 13
            case UInt8(ascii: "b"): bytes[to] = 8
            case UInt8(ascii: "f"): bytes[to] = 12
            case let byte: bytes[to] = byte
            }
            from += 2
            to += 1
        }
        return to
    }

    /// The character of `\uXXXX` or of a surrogate pair of them, and `from` behind it; half a pair reads as U+FFFD.
    private static func scalar(_ bytes: UnsafePointer<UInt8>, _ from: inout Int, _ count: Int) -> Unicode.Scalar {
        let first = unit(bytes + from + 2)
        from += 6
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xdc00, from + 6 <= count, bytes[from] == UInt8(ascii: "\\"), bytes[from + 1] == UInt8(ascii: "u")
        else { return "\u{fffd}" }
        let second = unit(bytes + from + 2)
        guard (0xdc00..<0xe000).contains(second),
            let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
        else { return "\u{fffd}" }
        from += 6
        return scalar
    }

    private static func unit(_ digits: UnsafePointer<UInt8>) -> UInt32 {
        (0..<4).reduce(0) { $0 << 4 | (digit(digits[$1]) ?? 0) }
    }

    private static func digit(_ byte: UInt8) -> UInt32? {
        switch byte {
        case 0x30...0x39: UInt32(byte) - 0x30
        case 0x41...0x46: UInt32(byte) - 0x41 + 10
        case 0x61...0x66: UInt32(byte) - 0x61 + 10
        default: nil
        }
    }
}
