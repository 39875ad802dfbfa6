import GDNFormatsKernels
import GDNTensor

/// zlib's `inflate`, which finds out by itself whether a stream is framed as gzip or as zlib.
final class Inflater {
    enum Outcome {
        case more
        case ended
        case failed(String)
    }

    private typealias Stream = UnsafeMutablePointer<gdn_zlib_stream>
    private typealias Initialise = @convention(c) (Stream, Int32, UnsafePointer<CChar>, Int32) -> Int32
    private typealias Inflate = @convention(c) (Stream, Int32) -> Int32
    private typealias End = @convention(c) (Stream) -> Int32

    private let stream = Stream.allocate(capacity: 1)
    private let inflate: Inflate
    private let restart: End
    private let end: End

    init(file: String) throws {
        let library = try CodecLibrary(
            ["libz.so.1", "libz.1.dylib"], purpose: "gzip", remedy: "install zlib (package zlib1g or zlib)", file: file)
        inflate = try library.function("inflate", file: file)
        restart = try library.function("inflateReset", file: file)
        end = try library.function("inflateEnd", file: file)
        let initialise: Initialise = try library.function("inflateInit2_", file: file)
        stream.initialize(to: gdn_zlib_stream())
        // A window of 2¹⁵ bytes; 32 more means that gzip and zlib headers are recognised.
        let size = Int32(MemoryLayout<gdn_zlib_stream>.size)
        guard initialise(stream, 15 + 32, "1.2.0", size) == 0 else {
            throw FormatError(file: file, rule: "zlib cannot be started", advice: "free some memory")
        }
    }

    deinit {
        _ = end(stream)
        stream.deallocate()
    }

    func reset(file: String) throws {
        guard restart(stream) == 0 else {
            throw FormatError(file: file, rule: "zlib cannot be restarted", advice: "report this")
        }
    }

    func step(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int, outcome: Outcome) {
        let (available, room) = (min(input.count, 1 << 30), min(output.count, 1 << 30))
        stream.pointee.next_in = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_in = UInt32(available)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        let code = inflate(stream, 0)
        let outcome: Outcome
        switch code {
        // 0: progress; -5: none was possible with these buffers.
        case 0, -5: outcome = .more
        case 1: outcome = .ended
        default:
            outcome = .failed(stream.pointee.msg.map { String(cString: $0) } ?? "zlib gives up with code \(code)")
        }
        return (available - Int(stream.pointee.avail_in), room - Int(stream.pointee.avail_out), outcome)
    }

    /// Decompresses a whole gzip or zlib stream whose size is known.
    /// - Returns: nil, or which rule it breaks.
    func decode(_ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> String? {
        guard restart(stream) == 0 else { return "zlib cannot be restarted" }
        var (consumed, produced) = (0, 0)
        // Room for one byte more tells a stream that is too long from one that just fits.
        var spare: UInt8 = 0
        return withUnsafeMutableBytes(of: &spare) { spare in
            while true {
                let hasRoom = produced < output.count
                let target = hasRoom ? UnsafeMutableRawBufferPointer(rebasing: output[produced...]) : spare
                let step = step(UnsafeRawBufferPointer(rebasing: bytes[consumed...]), into: target)
                consumed += step.consumed
                produced += step.produced
                if produced > output.count { return "gives more bytes than announced" }
                switch step.outcome {
                case .failed(let message): return message
                case .ended: return produced == output.count ? nil : "gives fewer bytes than announced"
                case .more:
                    if consumed == bytes.count, step.produced == 0 { return "ends too early" }
                }
            }
        }
    }
}
