import GDNFormatsKernels
import GDNTensor

/// libzstd's streaming and whole-buffer decompression.
final class ZstandardDecoder {
    private typealias Create = @convention(c) () -> OpaquePointer?
    private typealias Free = @convention(c) (OpaquePointer?) -> Int
    private typealias Buffer = UnsafeMutablePointer<gdn_zstd_buffer>
    private typealias Decompress = @convention(c) (OpaquePointer?, Buffer, Buffer) -> Int
    private typealias Whole =
        @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?, Int, UnsafeRawPointer?, Int) -> Int
    private typealias IsError = @convention(c) (Int) -> UInt32
    private typealias ErrorName = @convention(c) (Int) -> UnsafePointer<CChar>?

    private let context: OpaquePointer
    private let decompress: Decompress
    private let whole: Whole
    private let free: Free
    private let isError: IsError
    private let errorName: ErrorName

    init(file: String) throws {
        let library = try CodecLibrary(
            ["libzstd.so.1", "libzstd.1.dylib"], purpose: "Zstandard",
            remedy: "install libzstd (package libzstd1 or zstd)", file: file)
        decompress = try library.function("ZSTD_decompressStream", file: file)
        whole = try library.function("ZSTD_decompressDCtx", file: file)
        free = try library.function("ZSTD_freeDCtx", file: file)
        isError = try library.function("ZSTD_isError", file: file)
        errorName = try library.function("ZSTD_getErrorName", file: file)
        let create: Create = try library.function("ZSTD_createDCtx", file: file)
        guard let context = create() else {
            throw FormatError(file: file, rule: "Zstandard cannot be started", advice: "free some memory")
        }
        self.context = context
    }

    deinit { _ = free(context) }

    func step(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) -> (consumed: Int, produced: Int, frameEnded: Bool, failure: String?) {
        var to = gdn_zstd_buffer(bytes: output.baseAddress, size: output.count, position: 0)
        var from = gdn_zstd_buffer(
            bytes: UnsafeMutableRawPointer(mutating: input.baseAddress), size: input.count, position: 0)
        let code = decompress(context, &to, &from)
        return (from.position, to.position, code == 0, failure(code))
    }

    /// Decompresses frames whose size together is known.
    /// - Returns: nil, or which rule they break.
    func decode(_ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> String? {
        let code = whole(context, output.baseAddress, output.count, input.baseAddress, input.count)
        if let failure = failure(code) { return failure }
        return code == output.count ? nil : "gives fewer bytes than announced"
    }

    private func failure(_ code: Int) -> String? {
        guard isError(code) != 0 else { return nil }
        return errorName(code).map { String(cString: $0) } ?? "libzstd gives up"
    }
}
