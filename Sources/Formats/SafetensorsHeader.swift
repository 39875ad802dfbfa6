/// The header of a safetensors file: what lies where.
///
/// Layout: the header's length as a little-endian u64, the header as a JSON object, the tensors' bytes. The object
/// maps each name to `dtype`, `shape` and `data_offsets` (first byte and byte behind the last, counted from the end of
/// the header), and `__metadata__` to texts by text.
struct SafetensorsHeader {
    /// Tensors in the order of their bytes.
    let entries: [SafetensorsEntry]
    let metadata: [String: String]
    /// Where the tensors' bytes begin in the file.
    let dataStart: Int

    /// The longest header read, in bytes (the limit of the format's own reader).
    static let longest = 100_000_000

    /// Reads and checks the header of a whole file.
    /// - Throws: `FormatError` with the tensor's name and the broken rule.
    init(_ file: UnsafeRawBufferPointer, path: String) throws {
        let refuse = Refusal(path: path)
        guard file.count >= 8 else {
            throw refuse("a file has at least 8 bytes, this one \(file.count)")
        }
        let length = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard length <= Self.longest else {
            throw refuse("the header's length must be at most \(Self.longest) bytes, it says \(length)")
        }
        let dataStart = 8 + Int(length)
        guard dataStart <= file.count else {
            throw refuse("the header's length is \(length) bytes, but only \(file.count - 8) follow")
        }
        guard length > 0, file[8] == UInt8(ascii: "{") else { throw refuse("the header must begin with {") }
        let value = try JSONValue(
            parsing: UnsafeRawBufferPointer(rebasing: file[8..<dataStart]), file: path, part: "header")
        guard let object = value.object else { throw refuse("the header must be a JSON object") }

        var metadata: [String: String] = [:]
        var entries: [SafetensorsEntry] = []
        for (name, value) in object.members {
            if name == "__metadata__" {
                metadata = try Self.metadata(value, refuse)
            } else {
                entries.append(try Self.entry(name, value, refuse))
            }
        }
        entries.sort {
            ($0.offsets.lowerBound, $0.offsets.upperBound, $0.name)
                < ($1.offsets.lowerBound, $1.offsets.upperBound, $1.name)
        }
        try Self.checkCover(entries, byteCount: file.count - dataStart, refuse)
        self.entries = entries
        self.metadata = metadata
        self.dataStart = dataStart
    }

    private static func metadata(_ value: JSONValue, _ refuse: Refusal) throws -> [String: String] {
        guard let object = value.object else { throw refuse("__metadata__ must be an object of texts") }
        var result: [String: String] = [:]
        for (key, value) in object.members {
            guard let text = value.string else { throw refuse("__metadata__: \"\(key)\" must be a text") }
            result[key] = text
        }
        return result
    }

    private static func entry(_ name: String, _ value: JSONValue, _ refuse: Refusal) throws -> SafetensorsEntry {
        guard let object = value.object, Set(object.keys) == ["dtype", "shape", "data_offsets"] else {
            throw refuse("must have dtype, shape and data_offsets, and nothing else", name)
        }
        guard let typeName = object["dtype"]?.string, let dtype = SafetensorsDType(rawValue: typeName) else {
            let known = SafetensorsDType.allCases.map(\.rawValue).joined(separator: " ")
            throw refuse("dtype must be one of \(known), it is \(object["dtype"]?.text() ?? "absent")", name)
        }
        guard let dims = object["shape"]?.array, case let shape = dims.compactMap(\.integer),
            shape.count == dims.count, shape.allSatisfy({ $0 >= 0 })
        else { throw refuse("shape must be a list of whole numbers that are not negative", name) }
        var byteCount = dtype.byteCount
        for dim in shape {
            let (product, overflow) = byteCount.multipliedReportingOverflow(by: dim)
            guard !overflow else { throw refuse("shape \(shape) has more elements than fit 64 bits", name) }
            byteCount = product
        }
        guard let pair = object["data_offsets"]?.array, pair.count == 2, let begin = pair[0].integer,
            let end = pair[1].integer, begin >= 0, begin <= end
        else { throw refuse("data_offsets must be two whole numbers in order", name) }
        guard end - begin == byteCount else {
            throw refuse(
                "shape \(shape) of \(typeName) takes \(byteCount) bytes, data_offsets span \(end - begin)", name)
        }
        return SafetensorsEntry(name: name, dtype: dtype, shape: shape, offsets: begin..<end)
    }

    /// Every byte behind the header belongs to exactly one tensor.
    private static func checkCover(_ entries: [SafetensorsEntry], byteCount: Int, _ refuse: Refusal) throws {
        var covered = 0
        for entry in entries {
            guard entry.offsets.lowerBound >= covered else {
                throw refuse("begins at byte \(entry.offsets.lowerBound), inside the tensor before it", entry.name)
            }
            guard entry.offsets.lowerBound == covered else {
                throw refuse("begins at byte \(entry.offsets.lowerBound), leaving a hole from \(covered)", entry.name)
            }
            covered = entry.offsets.upperBound
            guard covered <= byteCount else {
                throw refuse("ends at byte \(covered), but the file has only \(byteCount) bytes of data", entry.name)
            }
        }
        guard covered == byteCount else {
            throw refuse("the tensors take \(covered) bytes, the file has \(byteCount) bytes of data")
        }
    }

    private struct Refusal {
        let path: String

        func callAsFunction(_ rule: String, _ tensor: String? = nil) -> FormatError {
            FormatError(
                file: path, part: tensor.map { "tensor \($0)" }, rule: rule,
                advice: "this is no intact safetensors file: fetch or write it again")
        }
    }
}

/// One tensor of a safetensors file.
public struct SafetensorsEntry: Sendable, Equatable {
    /// Its name.
    public let name: String
    /// Its element type.
    public let dtype: SafetensorsDType
    /// Its extents, outermost first; empty for a single element.
    public let shape: [Int]
    /// Its bytes, counted from the end of the header.
    public let offsets: Range<Int>

    /// Number of elements.
    public var count: Int { shape.reduce(1, *) }
}
