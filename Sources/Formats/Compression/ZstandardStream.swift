/// What a Zstandard file holds (RFC 8878): any number of frames, skippable ones passed over, checksums compared where
/// there are any. The work is libzstd's.
///
/// Frames whose window is above 128 MiB (`zstd --long=28` and more) are refused, which bounds the memory.
package final class ZstandardStream: ByteStream {
    private let source: any ByteStream
    private let path: String
    private let decoder: ZstandardDecoder
    private let input = ByteBuffer()
    private var rest = 0..<0
    private var isInsideFrame = false
    private var hasEnded = false
    /// The decoder may hold output back when the last buffer was filled to its end.
    private var mayHoldOutput = false
    private var sawFrame = false

    /// Decompresses `source`.
    /// - Parameter path: the file, for errors
    /// - Throws: `FormatError` when libzstd is not installed.
    package init(_ source: any ByteStream, path: String) throws {
        self.source = source
        self.path = path
        decoder = try ZstandardDecoder(file: path)
        try input.reserve(1 << 17, file: path)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while !hasEnded {
            if rest.isEmpty, !mayHoldOutput {
                rest = 0..<(try source.read(into: input.bytes))
                if rest.isEmpty {
                    guard !isInsideFrame else { throw damage("ends inside a Zstandard frame") }
                    guard sawFrame else { throw damage("is empty, a Zstandard file has at least one frame") }
                    hasEnded = true
                    return 0
                }
            }
            let step = decoder.step(input[rest], into: buffer)
            if let message = step.failure { throw damage("Zstandard: \(message)") }
            rest = (rest.lowerBound + step.consumed)..<rest.upperBound
            isInsideFrame = !step.frameEnded
            sawFrame = true
            mayHoldOutput = step.produced == buffer.count && isInsideFrame
            if step.produced > 0 { return step.produced }
        }
        return 0
    }

    private func damage(_ rule: String) -> DamagedInput { DamagedInput(path, rule) }
}
