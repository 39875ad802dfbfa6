/// What a gzip file holds (RFC 1952): any number of members one after another, each checked against its checksum and
/// length; zeros behind the last one are padding. The work is zlib's.
package final class GzipStream: ByteStream {
    private let source: any ByteStream
    private let path: String
    private let inflater: Inflater
    private let input = ByteBuffer()
    private var rest = 0..<0
    /// Inside a member, between members, or behind the last.
    private var state = State.between(members: 0)

    private enum State {
        case inside(member: Int)
        case between(members: Int)
        case ended
    }

    /// Decompresses `source`.
    /// - Parameter path: the file, for errors
    /// - Throws: `FormatError` when zlib is not installed.
    package init(_ source: any ByteStream, path: String) throws {
        self.source = source
        self.path = path
        inflater = try Inflater(file: path)
        try input.reserve(1 << 17, file: path)
    }

    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            if rest.isEmpty { rest = 0..<(try source.read(into: input.bytes)) }
            switch state {
            case .ended: return 0
            case .between(let members):
                let padding = members == 0 ? 0 : input[rest].prefix { $0 == 0 }.count
                rest = (rest.lowerBound + padding)..<rest.upperBound
                if padding > 0, rest.isEmpty { continue }
                if rest.isEmpty {
                    guard members > 0 else { throw damage("is empty, a gzip file has at least one member") }
                    state = .ended
                } else {
                    guard input.bytes[rest.lowerBound] == 0x1f else {
                        throw damage(
                            members == 0 ? "is no gzip file" : "has something else behind gzip member \(members)")
                    }
                    try inflater.reset(file: path)
                    state = .inside(member: members + 1)
                }
            case .inside(let member):
                guard !rest.isEmpty else { throw damage("ends inside gzip member \(member)") }
                let step = inflater.step(input[rest], into: buffer)
                rest = (rest.lowerBound + step.consumed)..<rest.upperBound
                switch step.outcome {
                case .ended: state = .between(members: member)
                case .more: break
                case .failed(let message): throw damage("gzip member \(member): \(message)")
                }
                if step.produced > 0 { return step.produced }
            }
        }
    }

    private func damage(_ rule: String) -> DamagedInput { DamagedInput(path, rule) }
}
