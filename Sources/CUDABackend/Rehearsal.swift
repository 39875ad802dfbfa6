import GDNTensor

/// Which kernels some work needs, found by going through it without a device's help: nothing is allocated, copied or
/// launched, results are zeros.
final class Rehearsal {
    struct Request: Sendable {
        var key: String
        var source: KernelSource
        var options: [String]
    }
    private(set) var requests: [Request] = []
    private var keys: Set<String> = []

    func add(_ key: String, _ source: KernelSource, _ options: [String]) {
        if keys.insert(key).inserted { requests.append(Request(key: key, source: source, options: options)) }
    }
}

/// Compiled kernels on their way: made by several threads, waited for by whoever needs the first of them.
final class PendingModules: @unchecked Sendable {
    private let results = Guarded<[String: [UInt8]]>([:])
    private var thread: pthread_t?
    private let compiler: Compiler
    private let requests: [Rehearsal.Request]

    init(_ compiler: Compiler, _ requests: [Rehearsal.Request]) {
        self.compiler = compiler
        self.requests = requests
        var handle = pthread_t()
        let box = Unmanaged.passRetained(self)
        let status = pthread_create(
            &handle, nil,
            { box in
                if let box { Unmanaged<PendingModules>.fromOpaque(box).takeRetainedValue().compile() }
                return nil
            }, box.toOpaque())
        if status == 0 { thread = handle } else { box.release() }
    }

    /// Waits for all; what could not be compiled is missing, and compiled again (with its error) when it is needed.
    func finish() -> [String: [UInt8]] {
        if let thread { pthread_join(thread, nil) }
        thread = nil
        return results.withLock { $0 }
    }

    private func compile() {
        let (requests, compiler, results) = (requests, compiler, results)
        concurrently(requests.count, threads: processorCount()) { index in
            let request = requests[index]
            guard
                let cubin = try? compiler.cubin(
                    request.source.text, name: request.source.name, options: request.options)
            else { return }
            results.withLock { $0[request.key] = cubin }
        }
    }
}

extension CUDABackend {
    /// Whether `rehearse` is going through work now.
    package var isRehearsing: Bool { rehearsal != nil }

    /// Goes through work that will be done later, and compiles the kernels it needs on all processors meanwhile.
    ///
    /// Returns as soon as the compilation is under way; the first launch waits for its end. `body` must keep nothing.
    package func rehearse(_ body: () throws -> Void) throws {
        let rehearsal = Rehearsal()
        self.rehearsal = rehearsal
        do {
            defer { self.rehearsal = nil }
            try body()
        }
        _ = finishPending()
        let missing = rehearsal.requests.filter { request in
            kernels.contents.withLock { $0.modules[request.key] == nil }
        }
        // The slowest first: the longest text.
        pending = PendingModules(compiler, missing.sorted { $0.source.text.utf8.count > $1.source.text.utf8.count })
    }

    /// The kernels that were being compiled, by module.
    func finishPending() -> [String: [UInt8]] {
        guard let pending else { return compiled }
        compiled.merge(pending.finish()) { $1 }
        self.pending = nil
        return compiled
    }

    /// A tensor without memory.
    func rehearsedTensor(_ shape: Shape, _ dtype: DType) throws -> Tensor {
        guard let address = UnsafeMutableRawPointer(bitPattern: 4096) else { throw BackendError("no address") }
        let storage = Storage(
            address: address, byteCount: max(256, shape.count * dtype.byteCount), device: .cuda(deviceIndex)
        ) { _, _ in }
        return Tensor(shape: shape, dtype: dtype, storage: storage)
    }
}
