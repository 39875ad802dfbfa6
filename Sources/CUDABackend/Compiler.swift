import GDNTensor

/// NVRTC: compiles kernel text for one device and keeps the result on disk.
///
/// A compiled kernel ("cubin") is stored under a hash of everything it depends on: text, options, compiler version
/// and target. A damaged or foreign file is compiled anew.
final class Compiler: @unchecked Sendable {
    typealias Program = OpaquePointer
    /// The library.
    let library: SharedLibrary
    /// Version, e.g. (13, 0).
    let version: (major: Int, minor: Int)
    /// Folder of compiled kernels.
    let cacheFolder: String
    private let architecture: String

    private let createProgram:
        @convention(c) (
            UnsafeMutablePointer<Program?>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32, UnsafeRawPointer?,
            UnsafeRawPointer?
        ) -> Int32
    private let compileProgram: @convention(c) (Program, Int32, UnsafePointer<UnsafePointer<CChar>?>) -> Int32
    private let getCubinSize: @convention(c) (Program, UnsafeMutablePointer<Int>) -> Int32
    private let getCubin: @convention(c) (Program, UnsafeMutableRawPointer) -> Int32
    private let getLogSize: @convention(c) (Program, UnsafeMutablePointer<Int>) -> Int32
    private let getLog: @convention(c) (Program, UnsafeMutablePointer<CChar>) -> Int32
    private let destroyProgram: @convention(c) (UnsafeMutablePointer<Program?>) -> Int32

    init(architecture: String, driverVersion: Int, cacheFolder: String?) throws {
        let major = max(12, driverVersion / 1000)
        library = try SharedLibrary(
            title: "NVRTC", names: (12...major).reversed().map { "libnvrtc.so.\($0)" } + ["libnvrtc.so"],
            remedy:
                "install it with: pip install nvidia-cuda-nvrtc\(major == 12 ? "-cu12" : "==\(major).*"), or the CUDA "
                + "toolkit, and set CUDA_HOME")
        library.openNeighbours("libnvrtc-builtins.so*")
        createProgram = try library.function("nvrtcCreateProgram")
        compileProgram = try library.function("nvrtcCompileProgram")
        getCubinSize = try library.function("nvrtcGetCUBINSize")
        getCubin = try library.function("nvrtcGetCUBIN")
        getLogSize = try library.function("nvrtcGetProgramLogSize")
        getLog = try library.function("nvrtcGetProgramLog")
        destroyProgram = try library.function("nvrtcDestroyProgram")
        let getVersion: @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>) -> Int32 =
            try library.function("nvrtcVersion")
        var numbers: (Int32, Int32) = (0, 0)
        _ = getVersion(&numbers.0, &numbers.1)
        version = (Int(numbers.0), Int(numbers.1))
        self.architecture = architecture
        self.cacheFolder = cacheFolder ?? Self.defaultCacheFolder()
    }

    /// A cubin from the cache, or compiled and put there.
    /// - Throws: `BackendError` with the compiler's messages.
    func cubin(_ text: String, name: String, options: [String], fresh: Bool = false) throws -> [UInt8] {
        let allOptions = ["--gpu-architecture=\(architecture)", "--std=c++17", "-default-device"] + options
        let key = Self.hash(([text, "\(version)", architecture] + allOptions).joined(separator: "\u{0}"))
        let path = "\(cacheFolder)/\(name)-\(key).cubin"
        if !fresh, let cached = CacheFile.read(path) { return cached }
        let cubin = try compile(text, name: name, options: allOptions)
        CacheFile.write(cubin, to: path)
        return cubin
    }

    private func compile(_ text: String, name: String, options: [String]) throws -> [UInt8] {
        var program: Program?
        guard createProgram(&program, text, "\(name).cu", 0, nil, nil) == 0, let handle = program else {
            throw BackendError("NVRTC at \(library.path) could not start a program for \(name)")
        }
        defer { _ = destroyProgram(&program) }
        let copies = options.map { strdup($0) }
        defer { copies.forEach { free($0) } }
        let pointers = copies.map { UnsafePointer<CChar>($0) }
        guard compileProgram(handle, Int32(pointers.count), pointers) == 0 else {
            var size = 0
            _ = getLogSize(handle, &size)
            var log = [CChar](repeating: 0, count: max(1, size))
            _ = getLog(handle, &log)
            let message = log.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
            throw BackendError("NVRTC could not compile \(name) with \(options.joined(separator: " ")): \(message)")
        }
        var size = 0
        guard getCubinSize(handle, &size) == 0, size > 0 else {
            throw BackendError("NVRTC \(version.major).\(version.minor) made no code for \(architecture): update it")
        }
        var bytes = [UInt8](repeating: 0, count: size)
        guard getCubin(handle, &bytes) == 0 else { throw BackendError("NVRTC returned no code for \(name)") }
        return bytes
    }

    private static func defaultCacheFolder() -> String {
        let base = environment("XDG_CACHE_HOME") ?? environment("HOME").map { "\($0)/.cache" } ?? "/tmp"
        return "\(base)/gated-delta-net/kernels"
    }

    /// 128 bits in hexadecimal: FNV-1a over the bytes, forwards and backwards.
    static func hash(_ text: String) -> String {
        func fnv(_ bytes: some Sequence<UInt8>) -> UInt64 {
            bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
        }
        let bytes = Array(text.utf8)
        return [fnv(bytes), fnv(bytes.reversed())].map { value in
            let digits = String(value, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}
