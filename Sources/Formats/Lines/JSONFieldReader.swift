import GDNFormatsKernels
import GDNTensor

/// Finds the text under one key of a JSON object and checks everything else on the way, without building any of it.
///
/// The answer is the one that `JSONValue` would give, or none: what is rare (escapes in keys, keys beyond ASCII, more than
/// 64 keys in an object, numbers of extreme size) and what is wrong is left to the full parser, which also words the
/// errors. A test feeds both with random and mutated lines.
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
    private let wideSteps: Int32
    /// The keys of the objects that are open, the innermost last.
    private var keys: [Range<Int>] = []
    private var count = 0
    private var index = 0
    private var found = Found.nothing

    /// A reader of the text under `field`.
    /// - Parameter wideSteps: use the processor's wide steps where it has them
    package init(field: String, wideSteps: Bool = true) {
        self.wideSteps = wideSteps ? hasWideSteps : 0
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
            let decoded = gdn_json_unescape(start + range.lowerBound, range.count, wideSteps)
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
        var hasEscapes: Int32 = 0
        index += 1
        index += gdn_json_string(bytes + index, count - index, &hasEscapes, wideSteps)
        guard index < count else { return nil }
        index += 1
        return hasEscapes != 0
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

private let hasWideSteps = gdn_json_has_wide()
