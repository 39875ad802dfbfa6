import GDNTensor

/// The functions of the CUDA driver that are used, found at run time.
///
/// Handles are opaque pointers, device addresses are `UInt64`, results are the driver's error numbers.
struct Driver: @unchecked Sendable {
    typealias Handle = OpaquePointer
    typealias Result = Int32

    let library: SharedLibrary
    let initialize: @convention(c) (UInt32) -> Result
    let driverGetVersion: @convention(c) (UnsafeMutablePointer<Int32>) -> Result
    let getErrorName: @convention(c) (Result, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Result
    let getErrorString: @convention(c) (Result, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Result
    let deviceGetCount: @convention(c) (UnsafeMutablePointer<Int32>) -> Result
    let deviceGet: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> Result
    let deviceGetName: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> Result
    let deviceGetAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> Result
    let deviceTotalMem: @convention(c) (UnsafeMutablePointer<Int>, Int32) -> Result
    let primaryContextRetain: @convention(c) (UnsafeMutablePointer<Handle?>, Int32) -> Result
    let primaryContextRelease: @convention(c) (Int32) -> Result
    let contextSetCurrent: @convention(c) (Handle?) -> Result
    let deviceGetDefaultMemoryPool: @convention(c) (UnsafeMutablePointer<Handle?>, Int32) -> Result
    let memoryPoolSetAttribute: @convention(c) (Handle, Int32, UnsafeMutableRawPointer) -> Result
    let memoryPoolGetAttribute: @convention(c) (Handle, Int32, UnsafeMutableRawPointer) -> Result
    let memoryAllocateAsync: @convention(c) (UnsafeMutablePointer<UInt64>, Int, Handle?) -> Result
    let memoryFreeAsync: @convention(c) (UInt64, Handle?) -> Result
    let memoryGetInfo: @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> Result
    let memset8Async: @convention(c) (UInt64, UInt8, Int, Handle?) -> Result
    let copyToDeviceAsync: @convention(c) (UInt64, UnsafeRawPointer, Int, Handle?) -> Result
    let copyToHostAsync: @convention(c) (UnsafeMutableRawPointer, UInt64, Int, Handle?) -> Result
    let copyOnDeviceAsync: @convention(c) (UInt64, UInt64, Int, Handle?) -> Result
    let streamCreate: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> Result
    let streamDestroy: @convention(c) (Handle) -> Result
    let streamSynchronize: @convention(c) (Handle?) -> Result
    let streamBeginCapture: @convention(c) (Handle, Int32) -> Result
    let streamEndCapture: @convention(c) (Handle, UnsafeMutablePointer<Handle?>) -> Result
    let graphInstantiate: @convention(c) (UnsafeMutablePointer<Handle?>, Handle, UInt64) -> Result
    let graphLaunch: @convention(c) (Handle, Handle?) -> Result
    let graphDestroy: @convention(c) (Handle) -> Result
    let graphExecDestroy: @convention(c) (Handle) -> Result
    let eventCreate: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> Result
    let eventRecord: @convention(c) (Handle, Handle?) -> Result
    let eventSynchronize: @convention(c) (Handle) -> Result
    let eventElapsedTime: @convention(c) (UnsafeMutablePointer<Float>, Handle, Handle) -> Result
    let eventDestroy: @convention(c) (Handle) -> Result
    let moduleLoadData: @convention(c) (UnsafeMutablePointer<Handle?>, UnsafeRawPointer) -> Result
    let moduleUnload: @convention(c) (Handle) -> Result
    let moduleGetFunction: @convention(c) (UnsafeMutablePointer<Handle?>, Handle, UnsafePointer<CChar>) -> Result
    let functionSetAttribute: @convention(c) (Handle, Int32, Int32) -> Result
    let launchKernel:
        @convention(c) (
            Handle, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Result
    /// Takes a `LaunchConfiguration`; nil for drivers whose graphs cannot hold what it may ask for (before CUDA 12.4).
    let launchKernelWithAttributes:
        (
            @convention(c) (
                UnsafeRawPointer, Handle, UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
                UnsafeMutablePointer<UnsafeMutableRawPointer?>?
            ) -> Result
        )?

    /// Opens the driver and initialises it.
    /// - Throws: `BackendError` when there is no driver, it is too old, or it sees no device.
    init() throws {
        library = try SharedLibrary(
            title: "the NVIDIA driver", names: ["libcuda.so.1", "libcuda.so"],
            remedy: "install an NVIDIA driver of version 525 or newer (CUDA 12), or use --device cpu")
        initialize = try library.function("cuInit")
        driverGetVersion = try library.function("cuDriverGetVersion")
        getErrorName = try library.function("cuGetErrorName")
        getErrorString = try library.function("cuGetErrorString")
        deviceGetCount = try library.function("cuDeviceGetCount")
        deviceGet = try library.function("cuDeviceGet")
        deviceGetName = try library.function("cuDeviceGetName")
        deviceGetAttribute = try library.function("cuDeviceGetAttribute")
        deviceTotalMem = try library.function("cuDeviceTotalMem_v2")
        primaryContextRetain = try library.function("cuDevicePrimaryCtxRetain")
        primaryContextRelease = try library.function("cuDevicePrimaryCtxRelease_v2")
        contextSetCurrent = try library.function("cuCtxSetCurrent")
        deviceGetDefaultMemoryPool = try library.function("cuDeviceGetDefaultMemPool")
        memoryPoolSetAttribute = try library.function("cuMemPoolSetAttribute")
        memoryPoolGetAttribute = try library.function("cuMemPoolGetAttribute")
        memoryAllocateAsync = try library.function("cuMemAllocAsync")
        memoryFreeAsync = try library.function("cuMemFreeAsync")
        memoryGetInfo = try library.function("cuMemGetInfo_v2")
        memset8Async = try library.function("cuMemsetD8Async")
        copyToDeviceAsync = try library.function("cuMemcpyHtoDAsync_v2")
        copyToHostAsync = try library.function("cuMemcpyDtoHAsync_v2")
        copyOnDeviceAsync = try library.function("cuMemcpyDtoDAsync_v2")
        streamCreate = try library.function("cuStreamCreate")
        streamDestroy = try library.function("cuStreamDestroy_v2")
        streamSynchronize = try library.function("cuStreamSynchronize")
        streamBeginCapture = try library.function("cuStreamBeginCapture_v2")
        streamEndCapture = try library.function("cuStreamEndCapture")
        graphInstantiate = try library.function("cuGraphInstantiateWithFlags")
        graphLaunch = try library.function("cuGraphLaunch")
        graphDestroy = try library.function("cuGraphDestroy")
        graphExecDestroy = try library.function("cuGraphExecDestroy")
        eventCreate = try library.function("cuEventCreate")
        eventRecord = try library.function("cuEventRecord")
        eventSynchronize = try library.function("cuEventSynchronize")
        eventElapsedTime = try library.function("cuEventElapsedTime")
        eventDestroy = try library.function("cuEventDestroy_v2")
        moduleLoadData = try library.function("cuModuleLoadData")
        moduleUnload = try library.function("cuModuleUnload")
        moduleGetFunction = try library.function("cuModuleGetFunction")
        functionSetAttribute = try library.function("cuFuncSetAttribute")
        launchKernel = try library.function("cuLaunchKernel")
        var version: Int32 = 0
        _ = driverGetVersion(&version)
        launchKernelWithAttributes = version >= 12040 ? try library.function("cuLaunchKernelEx") : nil
        try check(initialize(0), "starting the driver")
    }

    /// Throws a sentence when the driver reports an error.
    func check(_ result: Result, _ action: @autoclosure () -> String) throws {
        guard result != 0 else { return }
        throw BackendError("CUDA: \(action()) failed: \(explanation(result))")
    }

    /// The driver's name and description of an error.
    func explanation(_ result: Result) -> String {
        var name: UnsafePointer<CChar>?
        var text: UnsafePointer<CChar>?
        _ = getErrorName(result, &name)
        _ = getErrorString(result, &text)
        let title = name.map { String(cString: $0) } ?? "error \(result)"
        return text.map { "\(title) (\(String(cString: $0)))" } ?? title
    }

    /// CUDA version the driver supports, e.g. 13000 for 13.0.
    func version() -> Int {
        var version: Int32 = 0
        _ = driverGetVersion(&version)
        return Int(version)
    }
}

/// `CUlaunchConfig`: field by field as the driver lays it out.
struct LaunchConfiguration {
    var grid: (UInt32, UInt32, UInt32)
    var threads: (UInt32, UInt32, UInt32)
    var sharedBytes: UInt32
    var stream: Driver.Handle?
    var attributes: UnsafeMutablePointer<LaunchAttribute>?
    var attributeCount: UInt32
}

/// `CUlaunchAttribute`: a number, and 64 bytes of value of which one integer is used.
struct LaunchAttribute {
    var identifier: Int32
    var padding: Int32 = 0
    var value: Int32
    var unused: Int32 = 0
    var rest: (Int64, Int64, Int64, Int64, Int64, Int64, Int64) = (0, 0, 0, 0, 0, 0, 0)

    /// The kernel may start before the one before it in the stream has ended; it waits for it by itself.
    static var startsEarly: LaunchAttribute { LaunchAttribute(identifier: 6, value: 1) }
}

/// Driver numbers of the attributes that are read or set.
enum DriverAttribute {
    static let multiprocessorCount: Int32 = 16
    static let l2CacheSize: Int32 = 38
    static let computeCapabilityMajor: Int32 = 75
    static let computeCapabilityMinor: Int32 = 76
    static let sharedMemoryPerBlockOptIn: Int32 = 97
    static let functionMaxDynamicSharedMemory: Int32 = 8
    static let functionSharedMemoryCarveout: Int32 = 9
    static let poolReleaseThreshold: Int32 = 4
    static let poolReservedMemoryHigh: Int32 = 6
    static let poolUsedMemoryHigh: Int32 = 8
}
