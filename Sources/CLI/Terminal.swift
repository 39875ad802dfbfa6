import FoundationEssentials
import GatedDeltaNet

/// Output of the commands: results to standard output, remarks to standard error.
enum Terminal {
    /// Writes text to standard output at once.
    static func write(_ text: String) {
        FileHandleBytes.write(text, to: 1)
    }

    /// Writes a remark to standard error.
    static func note(_ text: String) {
        FileHandleBytes.write(text + "\n", to: 2)
    }

    /// A number with about four digits: `1234`, `12.3`, `0.0123`.
    static func number(_ value: Double) -> String {
        let size = abs(value)
        return fixed(value, decimals: size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 4)
    }

    /// A number with a fixed number of decimals.
    static func fixed(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            let length = withVaList([value]) { vsnprintf(buffer.baseAddress, 64, "%.\(decimals)f", $0) }
            return String(
                decoding: buffer.prefix(max(0, min(63, Int(length)))).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
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

private enum FileHandleBytes {
    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written <= 0 { return }
            bytes = bytes.dropFirst(written)
        }
    }
}
