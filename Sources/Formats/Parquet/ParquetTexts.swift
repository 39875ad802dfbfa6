/// Texts of a page's values part, in order, in one of the encodings that texts can have.
struct ParquetTexts {
    private enum Encoding {
        case plain
        case dictionary(HybridDecoder)
        case lengths(DeltaDecoder)
        case prefixes(DeltaDecoder, suffixes: DeltaDecoder)
    }

    private let bytes: UnsafeRawBufferPointer
    private var encoding: Encoding
    private var index = 0
    private let dictionary: ParquetDictionary?
    /// The text that the next one shares a beginning with.
    private let shared: ByteBuffer
    private var sharedCount = 0
    private let file: String

    /// - Parameters:
    ///   - bytes: the values part, decompressed
    ///   - encoding: as the page's header numbers it
    ///   - most: how many texts there may be
    init(
        _ bytes: UnsafeRawBufferPointer, encoding: Int, most: Int, dictionary: ParquetDictionary?, scratch: ByteBuffer,
        file: String
    ) throws {
        self.bytes = bytes
        self.dictionary = dictionary
        self.file = file
        shared = scratch
        switch encoding {
        case 0: self.encoding = .plain
        case 2, 8:
            guard dictionary != nil else { throw ParquetFailure("refers to a dictionary, and there is none") }
            // A page of nulls alone may have no values part at all.
            let width = bytes.isEmpty ? 0 : Int(bytes[0])
            self.encoding = .dictionary(
                try HybridDecoder(UnsafeRawBufferPointer(rebasing: bytes.dropFirst()), width: width))
        case 6:
            let lengths = try DeltaDecoder(bytes, at: 0, most: most)
            self.encoding = .lengths(lengths)
            index = try lengths.end()
        case 7:
            let prefixes = try DeltaDecoder(bytes, at: 0, most: most)
            let suffixes = try DeltaDecoder(bytes, at: prefixes.end(), most: most)
            guard prefixes.left == suffixes.left else { throw ParquetFailure("prefixes and suffixes differ in number") }
            self.encoding = .prefixes(prefixes, suffixes: suffixes)
            index = try suffixes.end()
        default: throw ParquetFailure("encoding \(encoding) is none for texts")
        }
    }

    /// The next text, valid until the one after.
    mutating func next() throws -> UnsafeRawBufferPointer {
        switch encoding {
        case .plain:
            guard bytes.count - index >= 4 else { throw ParquetFailure("the page ends inside a length") }
            let count = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt32.self))
            index += 4
            return try take(Int(count))
        case .dictionary(var indices):
            let number = try indices.next()
            encoding = .dictionary(indices)
            guard let text = dictionary?.text(Int(number)) else {
                throw ParquetFailure("index \(number) is not in the dictionary")
            }
            return text
        case .lengths(var lengths):
            let count = try lengths.next()
            encoding = .lengths(lengths)
            return try take(Int(count))
        case .prefixes(var prefixes, var suffixes):
            let (common, count) = (Int(try prefixes.next()), Int(try suffixes.next()))
            encoding = .prefixes(prefixes, suffixes: suffixes)
            guard common >= 0, common <= sharedCount else {
                throw ParquetFailure("a text shares \(common) bytes with one of \(sharedCount)")
            }
            let suffix = try take(count)
            try shared.reserve(max(1, common + count), file: file)
            UnsafeMutableRawBufferPointer(rebasing: shared.bytes[common...]).copyMemory(from: suffix)
            sharedCount = common + count
            return shared[0..<sharedCount]
        }
    }

    /// Whether everything there is was given.
    var isComplete: Bool {
        switch encoding {
        case .plain: index == bytes.count
        case .dictionary: true
        case .lengths(let lengths): lengths.left == 0
        case .prefixes(let prefixes, _): prefixes.left == 0
        }
    }

    private mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
        guard count >= 0, count <= bytes.count - index else {
            throw ParquetFailure("a text of \(count) bytes where \(bytes.count - index) are left")
        }
        defer { index += count }
        return UnsafeRawBufferPointer(rebasing: bytes[index..<index + count])
    }
}

/// The dictionary of a column chunk: plain texts, and where each begins.
struct ParquetDictionary {
    private let buffer: ByteBuffer
    private let starts: [UInt32]

    /// - Parameters:
    ///   - buffer: the page, decompressed
    ///   - bytes: the size of the page, at most 2³² − 1
    ///   - values: how many texts there should be
    init(_ buffer: ByteBuffer, bytes: Int, values: Int) throws {
        var starts: [UInt32] = []
        var index = 0
        let page = buffer[0..<bytes]
        while index < bytes {
            guard bytes - index >= 4 else { throw ParquetFailure("the dictionary ends inside a length") }
            let count = Int(UInt32(littleEndian: page.loadUnaligned(fromByteOffset: index, as: UInt32.self)))
            guard count <= bytes - index - 4 else { throw ParquetFailure("the dictionary ends inside a text") }
            starts.append(UInt32(index + 4))
            index += 4 + count
        }
        guard starts.count == values else {
            throw ParquetFailure("the dictionary has \(starts.count) texts, announced are \(values)")
        }
        self.buffer = buffer
        self.starts = starts
    }

    func text(_ index: Int) -> UnsafeRawBufferPointer? {
        guard index < starts.count else { return nil }
        let start = Int(starts[index])
        let count = UInt32(
            littleEndian: UnsafeRawBufferPointer(buffer.bytes).loadUnaligned(fromByteOffset: start - 4, as: UInt32.self)
        )
        return buffer[start..<start + Int(count)]
    }
}
