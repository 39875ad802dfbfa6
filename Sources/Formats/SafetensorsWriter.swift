import GDNTensor

/// A tensor to be written to a safetensors file.
public struct SafetensorsItem: Sendable {
    /// Its element type in the file.
    public let dtype: SafetensorsDType
    /// Its extents, outermost first.
    public let shape: [Int]
    private let content: Content

    private enum Content {
        case tensor(Tensor)
        case bytes([UInt8])
    }

    /// A tensor of main memory, in its own element type.
    public init(_ tensor: Tensor) {
        dtype = SafetensorsDType(tensor.dtype)
        shape = tensor.shape.dims
        content = .tensor(tensor)
    }

    /// Raw little-endian bytes; their number must be shape × dtype.
    public init(bytes: [UInt8], dtype: SafetensorsDType, shape: [Int]) {
        self.dtype = dtype
        self.shape = shape
        content = .bytes(bytes)
    }

    /// Singles.
    public init(floats values: [Float], shape: [Int]) {
        self.init(bytes: values.withUnsafeBytes { Array($0) }, dtype: .F32, shape: shape)
    }

    /// 32-bit integers.
    public init(integers values: [Int32], shape: [Int]) {
        self.init(bytes: values.withUnsafeBytes { Array($0) }, dtype: .I32, shape: shape)
    }

    var byteCount: Int {
        switch content {
        case .tensor(let tensor): tensor.byteCount
        case .bytes(let bytes): bytes.count
        }
    }

    var isOnHost: Bool {
        switch content {
        case .tensor(let tensor): tensor.device == .cpu
        case .bytes: true
        }
    }

    func withBytes(_ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        switch content {
        case .tensor(let tensor):
            try withExtendedLifetime(tensor) {
                try body(UnsafeRawBufferPointer(start: tensor.address, count: tensor.byteCount))
            }
        case .bytes(let bytes): try bytes.withUnsafeBytes(body)
        }
    }
}

/// Writes safetensors files: the same tensors give the same bytes.
///
/// Tensors lie in descending order of element size, then by name (so each is aligned to its element size), the header's
/// keys in the same order; the header is filled with spaces so that the data begin at a multiple of 64 bytes.
public enum SafetensorsWriter {
    /// Writes a file and makes it durable. A reader must not see it before this returns: write under a temporary
    /// name (or in a temporary folder) and rename.
    /// - Parameters:
    ///   - items: tensors by name; tensors of a device must be copied to main memory before
    ///   - metadata: texts for `__metadata__`; the key `format` with value `pt` is what other readers expect of weights
    ///   - path: the file, created or overwritten
    /// - Throws: `FormatError` when an item does not fit its shape, or the file cannot be written.
    public static func write(
        _ items: [String: SafetensorsItem], metadata: [String: String] = [:], to path: String
    ) throws {
        let file = try OutputFile(path)
        try encode(items, metadata: metadata, file: path) { try file.write($0) }
        try file.finish()
    }

    /// Hands the bytes of a file to `sink`, piece by piece; `file` names it in errors.
    /// - Throws: `FormatError` before the first piece when an item does not fit its shape; what `sink` throws.
    package static func encode(
        _ items: [String: SafetensorsItem], metadata: [String: String] = [:], file: String,
        to sink: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let ordered = items.sorted { ($1.value.dtype.byteCount, $0.key) < ($0.value.dtype.byteCount, $1.key) }
        let header = try header(ordered, metadata, file)
        try withUnsafeBytes(of: UInt64(header.count).littleEndian) { try sink($0) }
        try header.withUnsafeBytes { try sink($0) }
        for (_, item) in ordered { try item.withBytes(sink) }
    }

    private static func header(
        _ ordered: [(key: String, value: SafetensorsItem)], _ metadata: [String: String], _ path: String
    ) throws -> [UInt8] {
        var header = JSONObject()
        if !metadata.isEmpty {
            var texts = JSONObject()
            for (key, value) in metadata.sorted(by: { $0.key < $1.key }) { texts[key] = .string(value) }
            header["__metadata__"] = .object(texts)
        }
        var offset = 0
        for (name, item) in ordered {
            let refuse = { (rule: String) in
                FormatError(file: path, part: "tensor \(name)", rule: rule, advice: "nothing was written")
            }
            guard name != "__metadata__" else { throw refuse("the name is reserved") }
            guard item.isOnHost else { throw refuse("lies on a device, expected main memory") }
            guard item.byteCount == item.shape.reduce(item.dtype.byteCount, *) else {
                throw refuse("\(item.byteCount) bytes do not fit shape \(item.shape) of \(item.dtype.rawValue)")
            }
            header[name] = .object([
                "dtype": .string(item.dtype.rawValue),
                "shape": .array(item.shape.map { .integer($0) }),
                "data_offsets": .array([.integer(offset), .integer(offset + item.byteCount)]),
            ])
            offset += item.byteCount
        }
        var bytes = Array(JSONValue.object(header).text().utf8)
        bytes += [UInt8](repeating: 0x20, count: (64 - (8 + bytes.count) % 64) % 64)
        guard bytes.count <= SafetensorsHeader.longest else {
            throw FormatError(
                file: path, rule: "the header would take \(bytes.count) bytes, more than \(SafetensorsHeader.longest)",
                advice: "write the tensors into several files")
        }
        return bytes
    }
}
