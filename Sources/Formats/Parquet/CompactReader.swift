/// Reads Thrift's compact protocol, in which Parquet writes its metadata. No length is trusted: what is not in the bytes is
/// an error, and lists are never longer than the bytes that are left.
struct CompactReader {
    /// What is wrong.
    enum Failure: Error {
        /// The bytes end; more of them might make it whole.
        case ended
        /// It can be no such structure.
        case broken(String)

        /// In words.
        var rule: String {
            switch self {
            case .ended: "the metadata end too early"
            case .broken(let rule): rule
            }
        }
    }

    /// Types of values.
    enum Kind: UInt8 {
        case yes = 1, no, byte, int16, int32, int64, double, binary, list, set, map, structure, uuid
    }

    private let bytes: UnsafeRawBufferPointer
    private(set) var index = 0
    private static let deepest = 32
    private var depth = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    /// Reads a structure: `field` is given every field's number and type and reads the value or returns false, whereupon
    /// it is passed over.
    mutating func structure(_ field: (inout CompactReader, Int, Kind) throws -> Bool) throws {
        guard depth < Self.deepest else { throw Failure.broken("structures are nested too deep") }
        depth += 1
        defer { depth -= 1 }
        var number = 0
        while true {
            let head = try byte()
            if head == 0 { return }
            guard let kind = Kind(rawValue: head & 15) else { throw Failure.broken("a field has an unknown type") }
            number = head >> 4 == 0 ? try integer() : number + Int(head >> 4)
            guard (0...Int(Int16.max)).contains(number) else {
                throw Failure.broken("a field has an impossible number")
            }
            if try !field(&self, number, kind) { try skip(kind) }
        }
    }

    /// Reads a list: `element` is called for each with its type and must read it.
    mutating func list(_ element: (inout CompactReader, Kind) throws -> Void) throws {
        let (count, kind) = try listHead()
        for _ in 0..<count { try element(&self, kind) }
    }

    /// A whole number of any width.
    mutating func integer() throws -> Int {
        let value = try variable()
        return Int(bitPattern: UInt(value >> 1)) ^ -Int(value & 1)
    }

    /// A whole number of 32 bits.
    mutating func integer32() throws -> Int {
        guard let value = Int32(exactly: try integer()) else { throw Failure.broken("a number is longer than 32 bits") }
        return Int(value)
    }

    /// A text; what is no UTF-8 in it is replaced.
    mutating func text() throws -> String {
        let range = try binary()
        return String(decoding: bytes[range], as: UTF8.self)
    }

    private mutating func binary() throws -> Range<Int> {
        let count = try variable()
        guard count <= UInt64(bytes.count - index) else { throw Failure.ended }
        defer { index += Int(count) }
        return index..<index + Int(count)
    }

    private mutating func byte() throws -> UInt8 {
        guard index < bytes.count else { throw Failure.ended }
        defer { index += 1 }
        return bytes[index]
    }

    private mutating func variable() throws -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            let byte = try byte()
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw Failure.broken("a number is longer than 64 bits")
    }

    private mutating func listHead() throws -> (count: Int, kind: Kind) {
        let head = try byte()
        let count = head >> 4 == 15 ? try variable() : UInt64(head >> 4)
        guard count <= UInt64(bytes.count - index) else { throw Failure.ended }
        guard let kind = Kind(rawValue: head & 15) else {
            guard count == 0 else { throw Failure.broken("a list has an unknown type") }
            return (0, .byte)
        }
        return (Int(count), kind)
    }

    private mutating func skip(_ kind: Kind) throws {
        switch kind {
        case .yes, .no: break
        case .byte: _ = try byte()
        case .int16, .int32, .int64: _ = try variable()
        case .double: try advance(8)
        case .uuid: try advance(16)
        case .binary: _ = try binary()
        case .structure: try structure { _, _, _ in false }
        case .list, .set:
            try nested { reader in
                let (count, kind) = try reader.listHead()
                for _ in 0..<count { try reader.skipElement(kind) }
            }
        case .map:
            try nested { reader in
                let count = try reader.variable()
                guard count > 0 else { return }
                let kinds = try reader.byte()
                guard count <= UInt64(reader.bytes.count - reader.index) else { throw Failure.ended }
                guard let key = Kind(rawValue: kinds >> 4), let value = Kind(rawValue: kinds & 15) else {
                    throw Failure.broken("a map has an unknown type")
                }
                for _ in 0..<count {
                    try reader.skipElement(key)
                    try reader.skipElement(value)
                }
            }
        }
    }

    /// Passes over an element of a collection, where truth values take a byte.
    private mutating func skipElement(_ kind: Kind) throws {
        if kind == .yes || kind == .no { _ = try byte() } else { try skip(kind) }
    }

    private mutating func nested(_ body: (inout CompactReader) throws -> Void) throws {
        guard depth < Self.deepest else { throw Failure.broken("structures are nested too deep") }
        depth += 1
        try body(&self)
        depth -= 1
    }

    private mutating func advance(_ count: Int) throws {
        guard bytes.count - index >= count else { throw Failure.ended }
        index += count
    }
}
