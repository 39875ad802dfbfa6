import GDNTensor

/// A safetensors file, mapped into memory and checked strictly on opening.
///
/// Format: https://huggingface.co/docs/safetensors. Every rule of it is checked before the first tensor is read:
/// header at most 100 MB, known dtypes, size = shape × dtype, no hole, no overlap, no byte left over, no doubled name.
public struct SafetensorsFile: Sendable {
    /// The file as named by the caller.
    public let path: String
    /// The tensors in the order of their bytes.
    public let entries: [SafetensorsEntry]
    /// The texts under `__metadata__`.
    public let metadata: [String: String]
    private let mapping: MappedFile
    private let dataStart: Int
    private let index: [String: Int]

    /// Opens a file.
    /// - Throws: `FormatError` naming the file, the tensor and the broken rule.
    public init(_ path: String) throws {
        let mapping = try MappedFile(path, writable: true)
        let header = try mapping.read(0..<mapping.bytes.count) { try SafetensorsHeader($0, path: path) }
        self.path = path
        self.mapping = mapping
        entries = header.entries
        metadata = header.metadata
        dataStart = header.dataStart
        index = Dictionary(uniqueKeysWithValues: header.entries.enumerated().map { ($1.name, $0) })
    }

    /// Names in the order of their bytes.
    public var names: [String] { entries.map(\.name) }

    /// The tensor of this name, or nil.
    public subscript(name: String) -> SafetensorsEntry? { index[name].map { entries[$0] } }

    /// The tensor of this name.
    /// - Throws: `FormatError` when there is none.
    public func entry(_ name: String) throws -> SafetensorsEntry {
        guard let entry = self[name] else {
            let near = nearest(to: name, among: names).map { ", the nearest name is \($0)" } ?? ""
            throw FormatError(
                file: path, part: "tensor \(name)", rule: "not in the file, which has \(entries.count) tensors\(near)",
                advice: "check that the file belongs to this model")
        }
        return entry
    }

    /// The raw little-endian bytes of a tensor, valid during the call.
    public func withBytes<Result>(
        of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) throws -> Result {
        let offsets = try entry(name).offsets
        return try mapping.read(dataStart + offsets.lowerBound..<dataStart + offsets.upperBound, body)
    }

    /// The elements as singles, row-major. BF16 and F16 are widened, which is exact; F64 is rounded to nearest.
    /// - Throws: `FormatError` when there is no such tensor or its elements are not of these types.
    public func floats(of name: String) throws -> [Float] {
        let dtype = try entry(name).dtype
        return try withBytes(of: name) { bytes in
            switch dtype {
            case .F32: Self.elements(bytes) { Float(bitPattern: UInt32(littleEndian: $0)) }
            case .BF16: Self.elements(bytes) { BFloat16(bitPattern: UInt16(littleEndian: $0)).float }
            case .F16: Self.elements(bytes) { halfToFloat(UInt16(littleEndian: $0)) }
            case .F64: Self.elements(bytes) { Float(Double(bitPattern: UInt64(littleEndian: $0))) }
            default: throw mismatch(name, dtype, "F32, BF16, F16 or F64")
            }
        }
    }

    /// The elements of an integer tensor as 32-bit integers, row-major.
    /// - Throws: `FormatError` when there is no such tensor, it holds no integers, or one does not fit 32 bits.
    public func integers(of name: String) throws -> [Int32] {
        try wideIntegers(of: name).map { value in
            guard let integer = Int32(exactly: value) else {
                throw FormatError(
                    file: path, part: "tensor \(name)", rule: "the element \(value) does not fit 32 bits",
                    advice: "check that the tensor is what it is read as")
            }
            return integer
        }
    }

    /// The elements of an integer tensor, row-major.
    /// - Throws: `FormatError` when there is no such tensor or it holds no integers of at most 64 signed bits.
    public func wideIntegers(of name: String) throws -> [Int] {
        let dtype = try entry(name).dtype
        return try withBytes(of: name) { bytes in
            switch dtype {
            case .I64: Self.elements(bytes) { Int(Int64(littleEndian: $0)) }
            case .I32: Self.elements(bytes) { Int(Int32(littleEndian: $0)) }
            case .I16: Self.elements(bytes) { Int(Int16(littleEndian: $0)) }
            case .I8: Self.elements(bytes) { (value: Int8) in Int(value) }
            case .U32: Self.elements(bytes) { Int(UInt32(littleEndian: $0)) }
            case .U16: Self.elements(bytes) { Int(UInt16(littleEndian: $0)) }
            case .U8, .BOOL: Self.elements(bytes) { (value: UInt8) in Int(value) }
            default: throw mismatch(name, dtype, "integers of at most 64 signed bits")
            }
        }
    }

    /// The tensor in the element type of the file, in main memory.
    ///
    /// It shares the file's pages where they are aligned (writing to it changes a private copy of the page, never the
    /// file), and is a copy otherwise.
    /// - Throws: `FormatError` when there is no such tensor or tensors do not have its element type.
    public func tensor(_ name: String) throws -> Tensor {
        let entry = try entry(name)
        guard let dtype = entry.dtype.tensorType else {
            throw mismatch(name, entry.dtype, "F32, BF16, F16, I32 or U8")
        }
        let start = dataStart + entry.offsets.lowerBound
        let count = entry.offsets.count
        if let base = mapping.bytes.baseAddress, count > 0, start % dtype.byteCount == 0 {
            let storage = Storage(address: base + start, byteCount: count, device: .cpu) { [mapping] _, _ in
                withExtendedLifetime(mapping) {}
            }
            return Tensor(shape: Shape(entry.shape), dtype: dtype, storage: storage)
        }
        let address = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
        mapping.read(start..<start + count) { bytes in
            UnsafeMutableRawBufferPointer(start: address, count: count).copyMemory(from: bytes)
        }
        let storage = Storage(address: address, byteCount: max(count, 1), device: .cpu) { address, _ in
            address.deallocate()
        }
        return Tensor(shape: Shape(entry.shape), dtype: dtype, storage: storage)
    }

    private static func elements<Stored: BitwiseCopyable, Element>(
        _ bytes: UnsafeRawBufferPointer, _ convert: (Stored) -> Element
    ) -> [Element] {
        let count = bytes.count / MemoryLayout<Stored>.size
        if count == 0 { return [] }
        return Array(unsafeUninitializedCapacity: count) { buffer, initialised in
            for index in 0..<count {
                let stored = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<Stored>.size, as: Stored.self)
                buffer.initializeElement(at: index, to: convert(stored))
            }
            initialised = count
        }
    }

    private func mismatch(_ name: String, _ dtype: SafetensorsDType, _ wanted: String) -> FormatError {
        FormatError(
            file: path, part: "tensor \(name)", rule: "holds \(dtype.rawValue), expected \(wanted)",
            advice: "check that the file belongs to this model")
    }
}

/// The name that shares the longest end or beginning with `name`, for suggestions; nil when none shares four letters.
func nearest(to name: String, among names: [String]) -> String? {
    func shared(_ other: String) -> Int {
        let prefix = zip(name.utf8, other.utf8).prefix { $0 == $1 }.count
        let suffix = zip(name.utf8.reversed(), other.utf8.reversed()).prefix { $0 == $1 }.count
        return max(prefix, suffix)
    }
    return names.map { ($0, shared($0)) }.filter { $0.1 >= 4 }.max { $0.1 < $1.1 }?.0
}
