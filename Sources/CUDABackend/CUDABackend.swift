import GDNTensor

/// Computation on one NVIDIA GPU: memory, kernels compiled on the spot, matrix products. It knows no operation by name.
///
/// All work goes to one stream, in the order of the calls; nothing waits for the device but `download` and
/// `synchronize`. Used by one thread at a time.
public final class CUDABackend: @unchecked Sendable {
    /// The device's index.
    public let deviceIndex: Int
    /// The device.
    public let description: DeviceDescription
    /// Whether float32 matrix products may round their operands to TF32 (off: full float32).
    public let allowsTF32: Bool

    /// What activations are computed in where parameters are float32: `.float32` or `.bfloat16`.
    public let computeType: DType

    /// Whether kernels that can wait for the one before them by themselves are launched beside it.
    public let overlapsKernels: Bool

    let driver: Driver
    let compiler: Compiler
    let matmul: MatMul
    let context: Driver.Handle
    let stream: Driver.Handle
    let kernels = KernelTable()
    /// The profile that is being taken.
    var profile: Profile?
    /// The work that is being gone through for its kernels.
    var rehearsal: Rehearsal?
    /// Kernels that are being compiled, and those that were and are not loaded yet.
    let pending: PendingModules
    private let pool: Driver.Handle

    /// Opens the driver, the device, NVRTC and cuBLASLt.
    /// - Parameters:
    ///   - deviceIndex: position among the GPUs this process sees
    ///   - computeType: `.bfloat16` to train with float32 master weights and bfloat16 activations
    ///   - allowsTF32: trade accuracy of float32 matrix products for speed
    ///   - overlapsKernels: launch kernels of a chain beside the one before them, on compute capability 9.0 and up with
    ///     a driver for CUDA 12.4 or newer
    ///   - kernelCache: folder for compiled kernels; the user's cache folder when nil
    /// - Throws: `BackendError` saying what is missing and how to get it.
    public init(
        deviceIndex: Int = 0, computeType: DType = .float32, allowsTF32: Bool = false, overlapsKernels: Bool = true,
        kernelCache: String? = nil
    ) throws {
        driver = try Driver()
        description = try DeviceDescription(driver, index: deviceIndex)
        guard description.computeCapability >= (8, 0) else {
            let (major, minor) = description.computeCapability
            throw BackendError(
                "cuda:\(deviceIndex): \(description.name) has compute capability \(major).\(minor), 8.0 or newer is "
                    + "needed; use --device cpu")
        }
        self.deviceIndex = deviceIndex
        self.allowsTF32 = allowsTF32
        self.computeType = computeType
        self.overlapsKernels = overlapsKernels
        var handle: Driver.Handle?
        try driver.check(driver.primaryContextRetain(&handle, Int32(deviceIndex)), "opening cuda:\(deviceIndex)")
        context = try require(handle, "context")
        try driver.check(driver.contextSetCurrent(context), "selecting cuda:\(deviceIndex)")
        handle = nil
        try driver.check(driver.streamCreate(&handle, 1), "creating a stream")
        stream = try require(handle, "stream")
        handle = nil
        try driver.check(driver.deviceGetDefaultMemoryPool(&handle, Int32(deviceIndex)), "opening the memory pool")
        pool = try require(handle, "memory pool")
        var threshold = UInt64.max
        try driver.check(
            driver.memoryPoolSetAttribute(pool, DriverAttribute.poolReleaseThreshold, &threshold),
            "setting up the memory pool")
        let compiler = try Compiler(
            architecture: description.architecture, driverVersion: driver.version(), cacheFolder: kernelCache)
        self.compiler = compiler
        pending = PendingModules(threads: processorCount()) { request in
            try compiler.cubin(request.source.text, name: request.source.name, options: request.options)
        }
        matmul = try MatMul()
    }

    deinit {
        pending.stop()
        _ = driver.contextSetCurrent(context)
        _ = driver.streamSynchronize(stream)
        kernels.unload(driver)
        matmul.destroy(driver, stream)
        _ = driver.streamDestroy(stream)
        _ = driver.primaryContextRelease(Int32(deviceIndex))
    }

    /// Makes this device the calling thread's.
    func activate() throws {
        try driver.check(driver.contextSetCurrent(context), "selecting cuda:\(deviceIndex)")
    }

    /// Waits until all work given to the device is done.
    /// - Throws: `BackendError` for errors of work launched earlier.
    public func synchronize() throws {
        try activate()
        try driver.check(driver.streamSynchronize(stream), "work on cuda:\(deviceIndex)")
    }

    /// Most bytes the memory pool had in use since the start or the last `resetPeakMemory`.
    public func peakMemoryBytes() throws -> Int { try poolAttribute(DriverAttribute.poolUsedMemoryHigh) }

    /// Most bytes the memory pool held, in use or not, since the start or the last `resetPeakMemory`.
    public func peakReservedBytes() throws -> Int { try poolAttribute(DriverAttribute.poolReservedMemoryHigh) }

    /// Starts the peaks anew from what is in use.
    public func resetPeakMemory() throws {
        try activate()
        for attribute in [DriverAttribute.poolUsedMemoryHigh, DriverAttribute.poolReservedMemoryHigh] {
            var zero: UInt64 = 0
            try driver.check(driver.memoryPoolSetAttribute(pool, attribute, &zero), "resetting the memory pool's peak")
        }
    }

    private func poolAttribute(_ attribute: Int32) throws -> Int {
        var bytes: UInt64 = 0
        try activate()
        try driver.check(driver.memoryPoolGetAttribute(pool, attribute, &bytes), "reading the memory pool")
        return Int(bytes)
    }

    /// Free and total bytes of the device.
    public func memory() throws -> (free: Int, total: Int) {
        var free = 0
        var total = 0
        try activate()
        try driver.check(driver.memoryGetInfo(&free, &total), "reading memory of cuda:\(deviceIndex)")
        return (free, total)
    }
}

/// Unwraps a handle that the driver promised to fill in.
func require(_ handle: Driver.Handle?, _ what: String) throws -> Driver.Handle {
    guard let handle else { throw BackendError("CUDA: the driver returned no \(what)") }
    return handle
}
