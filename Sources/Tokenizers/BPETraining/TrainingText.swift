import GDNFormats
import GDNTensor

/// Text files to learn from, cut into parts for several threads.
///
/// Parts depend on the files alone, not on the number of threads. They end behind a newline that an ASCII letter
/// follows: no word of any pattern reaches over that place.
struct TrainingText: Sendable {
    /// A part of a file.
    struct Part: Sendable {
        var file: MappedFile
        var range: Range<Int>
    }

    /// About as many bytes as a part has.
    private static let partSize = 1 << 20

    /// The parts in order.
    let parts: [Part]
    /// Size of all files.
    let bytes: Int

    /// Opens files.
    /// - Throws: `FormatError` when one cannot be read, or there is no text at all.
    init(_ paths: [String]) throws {
        var parts: [Part] = []
        for path in paths {
            let file = try MappedFile(path)
            file.read(0..<file.bytes.count) { bytes in
                var start = 0
                while start < bytes.count {
                    let end = Self.end(bytes, from: start)
                    parts.append(Part(file: file, range: start..<end))
                    start = end
                }
            }
        }
        self.parts = parts
        bytes = parts.reduce(0) { $0 + $1.range.count }
        guard bytes > 0 else {
            throw FormatError(
                file: paths.joined(separator: ", "), rule: "there is no text to learn from",
                advice: "name text files that are not empty")
        }
    }

    private static func end(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int {
        var index = start + partSize
        while index < bytes.count {
            let byte = bytes[index] | 0x20
            if bytes[index - 1] == 0x0a, byte >= UInt8(ascii: "a"), byte <= UInt8(ascii: "z") { return index }
            index += 1
        }
        return bytes.count
    }

    /// Counts the words of all parts.
    /// - Parameters:
    ///   - threads: at most this many
    ///   - progress: called with the bytes done; false stops
    ///   - split: calls back with every word of a part, whose bytes are UTF-8
    /// - Returns: the counts, or nil when it was stopped
    func countWords(
        threads: Int, progress: @escaping @Sendable (Int) -> Bool,
        split: @escaping @Sendable (UnsafeRawBufferPointer, (UnsafeRawBufferPointer) -> Void) -> Void
    ) -> WordCounts.Box? {
        let state = Guarded<(idle: [WordCounts.Box], done: Int, goesOn: Bool)>((idle: [], done: 0, goesOn: true))
        let parts = parts
        concurrently(parts.count, threads: threads) { job in
            guard state.withLock({ $0.goesOn }) else { return }
            let box = state.withLock { $0.idle.popLast() } ?? WordCounts.Box()
            let part = parts[job]
            part.file.read(part.range) { bytes in
                Self.withUTF8(bytes) { bytes in
                    split(bytes) { word in
                        guard let base = word.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
                        box.counts.add(base, word.count)
                    }
                }
            }
            state.withLock {
                $0.idle.append(box)
                $0.done += part.range.count
                $0.goesOn = $0.goesOn && progress($0.done)
            }
        }
        return state.withLock { state in
            guard state.goesOn else { return nil }
            let all = WordCounts.Box()
            while let box = state.idle.popLast() { all.counts.add(box.counts) }
            return all
        }
    }

    private static func withUTF8(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        guard UTF8Scan.firstInvalid(bytes) != nil else { return body(bytes) }
        UTF8Sequence.repaired(bytes).bytes.withUnsafeBytes(body)
    }
}
