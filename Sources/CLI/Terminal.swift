import FoundationEssentials
import GDNFormats
import GDNTensor

/// Output of the commands: results to standard output, remarks to standard error.
enum Terminal {
    /// Writes text to standard output at once.
    /// - Throws: `FormatError` when it cannot be written; `ClosedPipe` when nobody reads it any more.
    static func write(_ text: String) throws { try StandardOutput.write(text) }

    /// Writes a line to standard output.
    static func line(_ text: String) throws { try write(text + "\n") }

    /// Writes a remark to standard error. Where that cannot be done there is nobody left to tell.
    static func note(_ text: String) { _ = writeAll(text + "\n", to: 2) }

    /// Writes a value as one JSON object.
    static func json(_ value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        try line(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    /// A table with aligned columns; the first column to the left, the others to the right.
    static func table(_ rows: [[String]]) -> String {
        guard let columns = rows.map(\.count).max() else { return "" }
        let widths = (0..<columns).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        return rows.map { row in
            row.enumerated().map { index, cell in
                let space = String(repeating: " ", count: widths[index] - cell.count)
                return index == 0 ? cell + space : space + cell
            }.joined(separator: "  ")
        }.joined(separator: "\n") + "\n"
    }
}
