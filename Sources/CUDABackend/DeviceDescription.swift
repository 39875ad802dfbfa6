import GDNTensor

/// What is known about one GPU.
public struct DeviceDescription: Sendable {
    /// Position among the GPUs this process sees.
    public let index: Int
    /// Product name, e.g. `NVIDIA H100 80GB HBM3`.
    public let name: String
    /// Compute capability, e.g. (9, 0).
    public let computeCapability: (major: Int, minor: Int)
    /// Memory in bytes.
    public let memoryBytes: Int
    /// Number of multiprocessors.
    public let multiprocessors: Int
    /// Level-2 cache in bytes.
    public let l2Bytes: Int
    /// Shared memory one block can have, in bytes.
    public let sharedBytesPerBlock: Int

    /// The target NVRTC compiles for: the device's own on Hopper, the portable one elsewhere.
    var architecture: String {
        computeCapability == (9, 0) ? "sm_90a" : "sm_\(computeCapability.major)\(computeCapability.minor)"
    }

    init(_ driver: Driver, index: Int) throws {
        var count: Int32 = 0
        try driver.check(driver.deviceGetCount(&count), "counting devices")
        guard index >= 0, index < Int(count) else {
            throw BackendError(
                "cuda:\(index): there is no such device, this machine has \(count); use --device cpu or cuda:0")
        }
        var device: Int32 = 0
        try driver.check(driver.deviceGet(&device, Int32(index)), "opening cuda:\(index)")
        func attribute(_ number: Int32) throws -> Int {
            var value: Int32 = 0
            try driver.check(driver.deviceGetAttribute(&value, number, device), "reading an attribute of cuda:\(index)")
            return Int(value)
        }
        var text = [CChar](repeating: 0, count: 256)
        try driver.check(driver.deviceGetName(&text, 256, device), "reading the name of cuda:\(index)")
        var bytes = 0
        try driver.check(driver.deviceTotalMem(&bytes, device), "reading the memory of cuda:\(index)")
        self.index = index
        name = text.withUnsafeBufferPointer { buffer in buffer.baseAddress.map { String(cString: $0) } ?? "" }
        memoryBytes = bytes
        computeCapability = (
            try attribute(DriverAttribute.computeCapabilityMajor), try attribute(DriverAttribute.computeCapabilityMinor)
        )
        multiprocessors = try attribute(DriverAttribute.multiprocessorCount)
        l2Bytes = try attribute(DriverAttribute.l2CacheSize)
        sharedBytesPerBlock = try attribute(DriverAttribute.sharedMemoryPerBlockOptIn)
    }
}
