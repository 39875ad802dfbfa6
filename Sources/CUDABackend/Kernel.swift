import GDNCUDAKernels
import GDNTensor

/// Text of a kernel: the prelude and the source behind it.
package struct KernelSource: Sendable {
    /// File in messages and in the cache, e.g. `rms_norm`.
    package let name: String
    /// CUDA C++ without includes.
    package let text: String

    /// The prelude (`Kernels/Prelude.cuh`) and these texts, joined.
    package init(name: String, _ texts: [String]) {
        self.name = name
        text = ([Self.embedded("Prelude.cuh")] + texts).joined(separator: "\n")
    }

    /// A source of the backend's own, `Kernels/NAME.cu`.
    init(backend name: String) { self.init(name: name, [Self.embedded("\(name).cu")]) }

    private static func embedded(_ file: String) -> String {
        gdn_cuda_kernel_text(file).map { String(cString: $0) } ?? ""
    }
}

/// What makes one specialisation of a source: names of macros and their values, in order.
package typealias KernelDefines = [(name: String, value: String)]

/// A function on the device, ready to launch.
package struct Kernel: @unchecked Sendable {
    let name: String
    let function: Driver.Handle
}

/// An argument of a kernel.
package enum KernelArgument {
    /// Address of the first element.
    case tensor(Tensor)
    /// Address of the first element, or null.
    case optional(Tensor?)
    /// Address of column `start` of the first row; `width` columns of every row are used.
    case columns(Tensor, start: Int, width: Int)
    /// `int`
    case int(Int)
    /// `long long`
    case long(Int)
    /// `float`
    case float(Float)

    /// Size of the tensor, if it is one.
    var byteCount: Int {
        switch self {
        case .tensor(let tensor): tensor.byteCount
        case .optional(let tensor): tensor?.byteCount ?? 0
        case .columns(let tensor, _, let width): tensor.shape.rows * width * tensor.dtype.byteCount
        case .int, .long, .float: 0
        }
    }

    var bits: UInt64 {
        switch self {
        case .tensor(let tensor): tensor.deviceAddress
        case .optional(let tensor): tensor?.deviceAddress ?? 0
        case .columns(let tensor, let start, _): tensor.deviceAddress + UInt64(start * tensor.dtype.byteCount)
        case .int(let value): UInt64(UInt32(bitPattern: Int32(truncatingIfNeeded: value)))
        case .long(let value): UInt64(bitPattern: Int64(value))
        case .float(let value): UInt64(value.bitPattern)
        }
    }
}

/// Modules and kernels loaded so far.
final class KernelTable: Sendable {
    struct Contents: @unchecked Sendable {
        var modules: [String: Driver.Handle] = [:]
        var kernels: [String: Kernel] = [:]
    }
    let contents = Guarded(Contents())

    func unload(_ driver: Driver) {
        contents.withLock { contents in
            contents.modules.values.forEach { _ = driver.moduleUnload($0) }
            contents = Contents()
        }
    }
}

extension CUDABackend {
    /// The kernel called `name` in a specialisation of `source`; compiled at first use, or read from the disk cache.
    package func kernel(_ source: KernelSource, _ name: String, _ defines: KernelDefines = []) throws -> Kernel {
        let options = defines.map { "-D\($0.name)=\($0.value)" }
        let moduleKey = ([source.name] + options).joined(separator: " ")
        if let rehearsal, let nothing = Driver.Handle(bitPattern: 1) {
            rehearsal.add(moduleKey, source, options)
            return Kernel(name: name, function: nothing)
        }
        let key = "\(name) \(moduleKey)"
        if let kernel = kernels.contents.withLock({ $0.kernels[key] }) { return kernel }
        try activate()
        let module = try module(source, options, key: moduleKey)
        var function: Driver.Handle?
        try driver.check(driver.moduleGetFunction(&function, module, name), "finding kernel \(name)")
        let kernel = Kernel(name: name, function: try require(function, "kernel \(name)"))
        kernels.contents.withLock { $0.kernels[key] = kernel }
        return kernel
    }

    /// Puts a kernel on the stream.
    /// - Parameters:
    ///   - grid: number of blocks along x, y and z
    ///   - threads: threads a block
    ///   - shared: bytes of dynamic shared memory a block
    ///   - startsEarly: the kernel may start while the kernel before it in the stream still runs, and waits for its end
    ///     by itself (`griddepcontrol.wait`), in every thread; ignored unless the backend overlaps kernels
    /// - Throws: `BackendError` naming kernel, grid and device.
    package func launch(
        _ kernel: Kernel, grid: (Int, Int, Int), threads: Int, shared: Int = 0, startsEarly: Bool = false,
        _ arguments: [KernelArgument]
    ) throws {
        if grid.0 == 0 || grid.1 == 0 || grid.2 == 0 || isRehearsing { return }
        try activate()
        if shared > 48 << 10 {
            try driver.check(
                driver.functionSetAttribute(
                    kernel.function, DriverAttribute.functionMaxDynamicSharedMemory, Int32(shared)),
                "giving \(shared) bytes of shared memory to \(kernel.name) on cuda:\(deviceIndex)")
        }
        var values = arguments.map(\.bits)
        try timed(kernel.name, bytes: arguments.reduce(0) { $0 + $1.byteCount }) {
            let result = values.withUnsafeMutableBytes { bytes in
                var pointers = arguments.indices.map { index in bytes.baseAddress.map { $0 + index * 8 } }
                if startsEarly, canStartEarly, let launch = driver.launchKernelWithAttributes {
                    var attribute = LaunchAttribute.startsEarly
                    return withUnsafeMutablePointer(to: &attribute) { attribute in
                        var configuration = LaunchConfiguration(
                            grid: (UInt32(grid.0), UInt32(grid.1), UInt32(grid.2)), threads: (UInt32(threads), 1, 1),
                            sharedBytes: UInt32(shared), stream: stream, attributes: attribute, attributeCount: 1)
                        return launch(&configuration, kernel.function, &pointers, nil)
                    }
                }
                return driver.launchKernel(
                    kernel.function, UInt32(grid.0), UInt32(grid.1), UInt32(grid.2), UInt32(threads), 1, 1,
                    UInt32(shared), stream, &pointers, nil)
            }
            try driver.check(
                result,
                "launching \(kernel.name) on cuda:\(deviceIndex) with grid \(grid), \(threads) threads, \(shared) shared bytes"
            )
        }
    }

    /// Whether kernels can be launched beside the one before them. A profile takes the time of each alone.
    private var canStartEarly: Bool {
        overlapsKernels && description.computeCapability >= (9, 0) && profile == nil
    }

    /// Gives a kernel's multiprocessors all the shared memory they can have. Kernels that shall run side by side ask for
    /// the same: the division between shared memory and cache does not change while a multiprocessor is busy.
    package func preferSharedMemory(_ kernel: Kernel) throws {
        if isRehearsing { return }
        try driver.check(
            driver.functionSetAttribute(kernel.function, DriverAttribute.functionSharedMemoryCarveout, 100),
            "setting up \(kernel.name) on cuda:\(deviceIndex)")
    }

    /// Puts a kernel of `blocks` blocks on the stream.
    package func launch(
        _ kernel: Kernel, blocks: Int, threads: Int, shared: Int = 0, _ arguments: [KernelArgument]
    ) throws {
        try launch(kernel, grid: (blocks, 1, 1), threads: threads, shared: shared, arguments)
    }

    private func module(_ source: KernelSource, _ options: [String], key: String) throws -> Driver.Handle {
        if let module = kernels.contents.withLock({ $0.modules[key] }) { return module }
        var handle: Driver.Handle?
        let cubin = try pending.take(key) ?? compiler.cubin(source.text, name: source.name, options: options)
        var result = driver.moduleLoadData(&handle, cubin)
        if result != 0 {
            let again = try compiler.cubin(source.text, name: source.name, options: options, fresh: true)
            result = driver.moduleLoadData(&handle, again)
        }
        try driver.check(result, "loading the compiled \(source.name)")
        let module = try require(handle, "module")
        kernels.contents.withLock { $0.modules[key] = module }
        return module
    }
}
