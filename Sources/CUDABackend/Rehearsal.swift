import GDNTensor

/// Which kernels some work needs, found by going through it without a device's help: nothing is allocated, copied or
/// launched, results are zeros.
package final class Rehearsal {
    /// One specialisation of a source.
    package struct Request: Sendable {
        /// Source and options in one.
        package var key: String
        package var source: KernelSource
        package var options: [String]

        package init(key: String, source: KernelSource, options: [String]) {
            (self.key, self.source, self.options) = (key, source, options)
        }
    }
    private(set) var requests: [Request] = []
    private var keys: Set<String> = []

    func add(_ key: String, _ source: KernelSource, _ options: [String]) {
        if keys.insert(key).inserted { requests.append(Request(key: key, source: source, options: options)) }
    }
}

/// In which order the kernels of a rehearsal are compiled.
package enum RehearsalOrder {
    /// For work that needs them all before much else can happen.
    case slowestFirst
    /// For work that goes on while later kernels are compiled.
    case firstNeededFirst
}

extension CUDABackend {
    /// Whether `rehearse` is going through work now.
    package var isRehearsing: Bool { rehearsal != nil }

    /// Goes through work that will be done later, and compiles the kernels it needs on all processors meanwhile.
    ///
    /// Returns as soon as the compilation is under way; a kernel's first use waits for that kernel. `body` must keep
    /// nothing.
    /// - Parameter order: in which the kernels are compiled
    /// - Returns: how many modules of kernels will be compiled, or read from the disk cache.
    @discardableResult
    package func rehearse(_ order: RehearsalOrder = .slowestFirst, _ body: () throws -> Void) throws -> Int {
        let rehearsal = Rehearsal()
        self.rehearsal = rehearsal
        do {
            defer { self.rehearsal = nil }
            try body()
        }
        var missing = rehearsal.requests.filter { request in
            kernels.contents.withLock { $0.modules[request.key] == nil }
        }
        // The slowest have the longest text.
        if order == .slowestFirst { missing.sort { $0.source.text.utf8.count > $1.source.text.utf8.count } }
        pending.add(missing)
        return missing.count
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
