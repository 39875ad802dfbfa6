/// What the end of a Parquet file says about one of its columns: where in the file the column's pieces are.
///
/// Numbers of fields are those of `parquet.thrift` (Apache Parquet format 2.11).
struct ParquetMetadata {
    /// A piece of a column: its pages in one row group.
    struct Chunk {
        var type = -1
        var codec = -1
        var values = -1
        var compressedBytes = -1
        var dataOffset = -1
        var dictionaryOffset: Int?
        var isElsewhere = false
        var isEncrypted = false

        /// Byte where its first page begins.
        var start: Int {
            // Some writers say 0 when there is no dictionary.
            if let dictionaryOffset, dictionaryOffset > 0 { return min(dictionaryOffset, dataOffset) }
            return dataOffset
        }
    }

    /// Rows that are stored together.
    struct RowGroup {
        var rows = -1
        /// The chunk of the wanted column.
        var chunk: Chunk?
    }

    /// A column, that is, a leaf of the schema.
    struct Column {
        var name: String
        var type: Int
        var isOptional: Bool
        /// Its place among the leaves.
        var index: Int
    }

    /// An entry of the schema, which is a tree written in depth-first order.
    private struct Element {
        var name = ""
        var type: Int?
        var repetition = 0
        var children = 0
    }

    let column: Column
    let rowGroups: [RowGroup]

    /// The physical type of texts.
    static let byteArray = 6

    /// What is wrong with a footer that can be read, and what to do.
    struct Unusable: Error {
        let rule: String
        let advice: String
    }

    /// Reads the footer.
    /// - Parameter name: the wanted column
    /// - Throws: `CompactReader.Failure` where the footer is malformed, `Unusable` where this reader does not do what the
    ///   file asks for.
    init(_ footer: UnsafeRawBufferPointer, column name: String) throws {
        // Two passes, because the schema says which chunk of a row group is wanted.
        var elements: [Element] = []
        var isEncrypted = false
        var reader = CompactReader(footer)
        try reader.structure { reader, field, kind in
            switch (field, kind) {
            case (2, .list): try reader.list { elements.append(try Self.element(&$0, $1)) }
            case (8, .structure):
                isEncrypted = true
                return false
            default: return false
            }
            return true
        }
        guard !isEncrypted else {
            throw Unusable(rule: "is encrypted", advice: "write it again without encryption")
        }
        let column = try Self.find(name, in: elements)
        var groups: [RowGroup] = []
        reader = CompactReader(footer)
        try reader.structure { reader, field, kind in
            guard field == 4, kind == .list else { return false }
            try reader.list { groups.append(try Self.rowGroup(&$0, $1, column.index)) }
            return true
        }
        self.column = column
        rowGroups = groups
    }

    private static func element(_ reader: inout CompactReader, _ kind: CompactReader.Kind) throws -> Element {
        guard kind == .structure else { throw CompactReader.Failure.broken("the schema is no list of structures") }
        var element = Element()
        try reader.structure { reader, field, kind in
            switch (field, kind) {
            case (1, .int32): element.type = try reader.integer32()
            case (3, .int32): element.repetition = try reader.integer32()
            case (4, .binary): element.name = try reader.text()
            case (5, .int32): element.children = try reader.integer32()
            default: return false
            }
            return true
        }
        return element
    }

    /// The column of this name directly below the root.
    private static func find(_ name: String, in elements: [Element]) throws -> Column {
        guard let root = elements.first, root.children >= 0 else {
            throw CompactReader.Failure.broken("the file has no schema")
        }
        var columns: [Column] = []
        var nested: [String] = []
        var leaves = 0
        var index = 1
        /// How many entries are still to come at every level that is open, the root's first.
        var open = [root.children]
        while let rest = open.last {
            if rest == 0 {
                open.removeLast()
                continue
            }
            open[open.count - 1] -= 1
            guard index < elements.count else { throw CompactReader.Failure.broken("the schema is incomplete") }
            let element = elements[index]
            index += 1
            guard (0...2).contains(element.repetition), element.children >= 0, open.count <= 64 else {
                throw CompactReader.Failure.broken("the schema entry \(element.name) is impossible")
            }
            if let type = element.type {
                if open.count == 1, element.repetition < 2 {
                    columns.append(
                        Column(name: element.name, type: type, isOptional: element.repetition == 1, index: leaves))
                } else if open.count == 1 {
                    nested.append(element.name)
                }
                leaves += 1
            } else {
                if open.count == 1 { nested.append(element.name) }
                open.append(element.children)
            }
        }
        guard let column = columns.first(where: { $0.name == name }) else {
            if nested.contains(name) {
                throw Unusable(rule: "column \(name) is nested", advice: "name a column of texts")
            }
            let texts = columns.filter { $0.type == byteArray }.map(\.name).prefix(20).joined(separator: ", ")
            throw Unusable(
                rule: "has no column \(name)",
                advice: texts.isEmpty ? "it has no column of texts" : "its columns of texts are \(texts)")
        }
        guard column.type == byteArray else {
            throw Unusable(
                rule: "column \(name) holds \(typeName(column.type)), not texts", advice: "name a column of texts")
        }
        return column
    }

    private static func typeName(_ type: Int) -> String {
        let names = [
            "BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY",
        ]
        return names.indices.contains(type) ? names[type] : "type \(type)"
    }

    private static func rowGroup(
        _ reader: inout CompactReader, _ kind: CompactReader.Kind, _ wanted: Int
    ) throws -> RowGroup {
        guard kind == .structure else { throw CompactReader.Failure.broken("the row groups are no structures") }
        var group = RowGroup()
        try reader.structure { reader, field, kind in
            switch (field, kind) {
            case (1, .list):
                var index = 0
                try reader.list { reader, kind in
                    guard kind == .structure else {
                        throw CompactReader.Failure.broken("the column chunks are no structures")
                    }
                    if index == wanted {
                        group.chunk = try Self.chunk(&reader)
                    } else {
                        try reader.structure { _, _, _ in false }
                    }
                    index += 1
                }
            case (3, .int64): group.rows = try reader.integer()
            default: return false
            }
            return true
        }
        return group
    }

    private static func chunk(_ reader: inout CompactReader) throws -> Chunk {
        var chunk = Chunk()
        try reader.structure { reader, field, kind in
            switch (field, kind) {
            case (1, .binary):
                chunk.isElsewhere = true
                return false
            case (3, .structure):
                try reader.structure { reader, field, kind in
                    switch (field, kind) {
                    case (1, .int32): chunk.type = try reader.integer32()
                    case (4, .int32): chunk.codec = try reader.integer32()
                    case (5, .int64): chunk.values = try reader.integer()
                    case (7, .int64): chunk.compressedBytes = try reader.integer()
                    case (9, .int64): chunk.dataOffset = try reader.integer()
                    case (11, .int64): chunk.dictionaryOffset = try reader.integer()
                    default: return false
                    }
                    return true
                }
            case (8, .structure):
                chunk.isEncrypted = true
                return false
            default: return false
            }
            return true
        }
        return chunk
    }
}
