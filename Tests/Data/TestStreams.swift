import GDNData
import GDNFormats
import GDNTestSupport

extension TemporaryFolder {
    static let identity = String(repeating: "0", count: 64)

    /// A shard of these documents.
    func shard(_ documents: [[Int32]], vocabulary: Int = 100_000, name: String = "a.tokens") throws -> TokenShard {
        let writer = try TokenShardWriter(path(name), vocabularySize: vocabulary, tokenizer: Self.identity)
        for document in documents { try writer.append(document, textBytes: document.count) }
        try writer.finish()
        return try TokenShard(path(name))
    }

    /// One shard of documents of these lengths whose tokens count up from `first` through all of them.
    func stream(_ lengths: [Int], from first: Int32 = 0, name: String = "a.tokens") throws -> TokenStream {
        var next = first
        let documents = lengths.map { length in
            (0..<length).map { _ in
                defer { next += 1 }
                return next
            }
        }
        return try TokenStream([shard(documents, vocabulary: 1 << 22, name: name)])
    }

    /// A packed file of this header and these bytes.
    func packed(_ type: UInt8, _ count: UInt64, _ body: [UInt8], version: UInt64 = 1, name: String = "a.bin") throws
        -> String
    {
        let header = Array("LITPKDS".utf8) + Self.bytes(version) + [type] + Self.bytes(count)
        return try write(name, header + body)
    }

    /// The bytes of a number in the file's order.
    static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }
}
