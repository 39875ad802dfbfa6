import GDNFormats
import GDNTensor
import GDNTokenizers

/// Where a record stands.
struct Place {
    let path: String
    /// Its line or row, counted from 1.
    var line: Int
    /// Its number in the unit, counted from 0.
    let record: Int
    /// Whether it is a whole file of text.
    var isFile = false
    /// The byte that lines are counted from, when that is not the beginning of the file.
    var offset: Int?
}

extension DocumentReader {
    /// A record with more invalid bytes than this share of all counts as unusable: it is no text at all.
    private static let repairableShare = 0.1
    private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

    /// A text file: one record, read in pieces of the longest document, each looked at by itself.
    func text(
        _ stream: any ByteStream, _ path: String, _ first: Int, _ report: inout DataReport, _ line: inout Int,
        _ body: (Document) throws -> Void
    ) throws {
        guard first == 0 else { return }
        let buffer = ByteBuffer()
        let longest = settings.longestDocument
        var (count, piece) = (0, 0)
        var damage: DamagedInput?
        var place = Place(path: path, line: 1, record: 0, isFile: true)
        report.records += 1
        while true {
            // One byte more than a document has tells whether the file goes on.
            let hasEnded: Bool
            do {
                hasEnded = try !fill(buffer, &count, longest + 1, stream, path)
            } catch let broken as DamagedInput where settings.keepsDamagedFiles {
                (hasEnded, damage) = (true, broken)
                count -= Self.openCharacter(buffer[0..<count])
            }
            let mark = piece == 0 && buffer[0..<count].starts(with: Self.byteOrderMark) ? 3 : 0
            if hasEnded, count == mark, piece == 0 { report.note(\.empty, place, "no text; left out") }
            let end = hasEnded ? count : Self.cut(buffer[0..<count], longest)
            if !hasEnded, piece == 0 { report.note(\.cut, place, cutMessage) }
            if end > mark { try textPiece(buffer[mark..<end], place, &report, body) }
            place.line += UTF8Scan.newlines(buffer[0..<end])
            line = place.line - 1
            if let damage { throw damage }
            if hasEnded { return }
            buffer.bytes.copyMemory(from: buffer[end..<count])
            count -= end
            piece += 1
        }
    }

    /// Reads until the buffer holds `wanted` bytes; false when the stream ends before.
    private func fill(
        _ buffer: ByteBuffer, _ count: inout Int, _ wanted: Int, _ stream: any ByteStream, _ path: String
    ) throws -> Bool {
        while count < wanted {
            try buffer.reserve(min(wanted, max(1 << 16, 2 * count)), file: path)
            let room = buffer.bytes[count..<min(wanted, buffer.bytes.count)].prefix(1 << 18)
            let read = try stream.read(into: UnsafeMutableRawBufferPointer(rebasing: room))
            if read == 0 { return false }
            count += read
        }
        return true
    }

    /// A piece of a text file. The record counts as repaired or malformed once, however many pieces are.
    private func textPiece(
        _ bytes: UnsafeRawBufferPointer, _ place: Place, _ report: inout DataReport,
        _ body: (Document) throws -> Void
    ) throws {
        try repair(bytes, place, &report) { text, report in try deliver(text, place, &report, body) }
        // The unit has this one record.
        for count in [\DataReport.repaired, \.malformed, \.cut] {
            report[keyPath: count] = min(1, report[keyPath: count])
        }
    }

    /// Lines of JSON.
    func lines(
        _ stream: any ByteStream, _ unit: InputUnit, _ first: Int, _ report: inout DataReport, _ line: inout Int,
        _ body: (Document) throws -> Void
    ) throws {
        var reader = try LineReader(stream, path: unit.path, longest: settings.longestRecord)
        var fields = JSONFieldReader(field: settings.textField)
        var number = -1
        let part = unit.part ?? 0..<Int.max
        let offset = unit.isFirst ? nil : unit.part?.lowerBound
        // The byte before the part belongs to the line before, and so does everything up to the first newline.
        if offset != nil { _ = try reader.next() }
        let start = max(0, part.lowerBound - 1)
        while start + reader.consumed < part.upperBound, let next = try reader.next() {
            line += 1
            var place = Place(path: unit.path, line: line, record: number + 1)
            place.offset = offset
            switch next {
            case .tooLong(let count):
                number += 1
                guard number >= first else { continue }
                report.records += 1
                report.note(
                    \.malformed, place, "a line of \(count) bytes, allowed are \(settings.longestRecord); left out")
            case .bytes(let bytes):
                let hasMark = line == 1 && offset == nil && bytes.starts(with: Self.byteOrderMark)
                let content = hasMark ? UnsafeMutableRawBufferPointer(rebasing: bytes[3...]) : bytes
                if content.allSatisfy({ $0 == 0x20 || $0 == 0x0d || $0 == 0x09 }) { continue }
                number += 1
                if number >= first { try jsonLine(content, place, &fields, &report, body) }
            }
        }
        if line == 0, unit.isFirst {
            report.records += 1
            report.note(\.empty, unit.path, 1, "the file is empty; left out")
        }
    }

    private func jsonLine(
        _ bytes: UnsafeMutableRawBufferPointer, _ place: Place, _ fields: inout JSONFieldReader,
        _ report: inout DataReport, _ body: (Document) throws -> Void
    ) throws {
        if UTF8Scan.firstInvalid(UnsafeRawBufferPointer(bytes)) == nil {
            switch fields.read(bytes) {
            case .text(let text): return try record(text, place, isValid: true, &report, body)
            case .absent: return noText(place, &report)
            case .unsure: break
            }
        }
        try uncommonLine(UnsafeRawBufferPointer(bytes), place, &report, body)
    }

    /// A line that has to be repaired, or that the reader of one field leaves to the full parser.
    private func uncommonLine(
        _ bytes: UnsafeRawBufferPointer, _ place: Place, _ report: inout DataReport, _ body: (Document) throws -> Void
    ) throws {
        var replacements = 0
        let value: JSONValue
        do {
            if UTF8Scan.firstInvalid(bytes) == nil {
                value = try JSONValue(parsing: bytes, file: place.path)
            } else {
                let repaired = UTF8Sequence.repaired(bytes)
                replacements = repaired.replacements
                value = try repaired.bytes.withUnsafeBytes { try JSONValue(parsing: $0, file: place.path) }
            }
        } catch let error as FormatError {
            report.records += 1
            report.note(\.malformed, place, "\(error.rule); left out")
            return
        }
        guard let text = value[settings.textField]?.string else { return noText(place, &report) }
        guard Double(replacements) <= Self.repairableShare * Double(bytes.count) else {
            report.records += 1
            report.note(\.malformed, place, "\(replacements) invalid bytes, this is no UTF-8; left out")
            return
        }
        if replacements > 0 {
            report.note(\.repaired, place, "\(replacements) invalid bytes replaced by U+FFFD")
        }
        try Array(text.utf8).withUnsafeBytes { try record($0, place, isValid: true, &report, body) }
    }

    private func noText(_ place: Place, _ report: inout DataReport) {
        report.records += 1
        report.note(\.malformed, place, "no text under \"\(settings.textField)\"; left out")
    }

    /// A record that is there as a whole.
    /// - Parameter isValid: the bytes are known to be UTF-8
    func record(
        _ bytes: UnsafeRawBufferPointer, _ place: Place, isValid: Bool = false, _ report: inout DataReport,
        _ body: (Document) throws -> Void
    ) throws {
        report.records += 1
        guard !bytes.isEmpty else {
            report.note(\.empty, place, "no text; left out")
            return
        }
        if isValid { return try deliver(bytes, place, &report, body) }
        try repair(bytes, place, &report) { text, report in try deliver(text, place, &report, body) }
    }

    /// Gives `body` the text as UTF-8, if it is nearly that.
    private func repair(
        _ bytes: UnsafeRawBufferPointer, _ place: Place, _ report: inout DataReport,
        _ body: (UnsafeRawBufferPointer, inout DataReport) throws -> Void
    ) throws {
        guard let bad = UTF8Scan.firstInvalid(bytes) else { return try body(bytes, &report) }
        var badPlace = place
        if place.isFile {
            badPlace.line += UTF8Scan.newlines(UnsafeRawBufferPointer(rebasing: bytes[..<bad]))
        }
        let repaired = UTF8Sequence.repaired(bytes)
        guard Double(repaired.replacements) <= Self.repairableShare * Double(bytes.count) else {
            report.note(\.malformed, badPlace, "\(repaired.replacements) invalid bytes, this is no UTF-8; left out")
            return
        }
        report.note(\.repaired, badPlace, "\(repaired.replacements) invalid bytes replaced by U+FFFD")
        try repaired.bytes.withUnsafeBytes { try body($0, &report) }
    }

    private func deliver(
        _ text: UnsafeRawBufferPointer, _ place: Place, _ report: inout DataReport, _ body: (Document) throws -> Void
    ) throws {
        if text.count > settings.longestDocument { report.note(\.cut, place, cutMessage) }
        var rest = text
        while !rest.isEmpty {
            let end = rest.count > settings.longestDocument ? Self.cut(rest, settings.longestDocument) : rest.count
            report.documents += 1
            report.textBytes += end
            let piece = UnsafeRawBufferPointer(rebasing: rest[..<end])
            try body(Document(bytes: piece, isFile: place.isFile, record: place.record))
            rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        }
    }

    private var cutMessage: String {
        "longer than \(settings.longestDocument) bytes, cut into documents"
    }

    /// The last place up to `longest` that is not inside a character: the bytes behind its first are 10xxxxxx, at most three.
    private static func cut(_ text: UnsafeRawBufferPointer, _ longest: Int) -> Int {
        for end in (longest - 3...longest).reversed() where text[end] & 0xc0 != 0x80 { return end }
        return longest
    }

    /// Bytes of a character at the end of `text` that is not all there.
    private static func openCharacter(_ text: UnsafeRawBufferPointer) -> Int {
        for length in 1...3 where length <= text.count {
            if UTF8Sequence(text, at: text.count - length) == .open(length) { return length }
        }
        return 0
    }
}
