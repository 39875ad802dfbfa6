import GDNTensor

/// One line of what a machine has: a device or a library, where it was found, or what is missing and how to get it.
public struct DoctorLine: Sendable, Equatable {
    /// `driver`, `device cuda:0`, `NVRTC`, `cuBLASLt`, `kernel cache`.
    public let item: String
    /// Whether it can be used.
    public let works: Bool
    /// Version and place, or the sentence of the error.
    public let detail: String
}

/// What `gdn doctor` says about NVIDIA GPUs. Each part is looked for by itself; a missing one does not hide the others.
public func inspectCUDA() -> [DoctorLine] {
    var lines: [DoctorLine] = []
    func attempt<Value>(_ item: String, _ body: () throws -> (Value, String)) -> Value? {
        do {
            let (value, detail) = try body()
            lines.append(DoctorLine(item: item, works: true, detail: detail))
            return value
        } catch {
            lines.append(DoctorLine(item: item, works: false, detail: "\(error)"))
            return nil
        }
    }
    let driver = attempt("driver") {
        let driver = try Driver()
        let version = driver.version()
        return (driver, "CUDA \(version / 1000).\(version % 1000 / 10), \(driver.library.path)")
    }
    if let driver {
        var count: Int32 = 0
        _ = driver.deviceGetCount(&count)
        for index in 0..<Int(count) {
            _ = attempt("device cuda:\(index)") {
                let device = try DeviceDescription(driver, index: index)
                let (major, minor) = device.computeCapability
                let enough = device.computeCapability >= (8, 0) ? "" : ", too old: 8.0 or newer is needed"
                return (
                    (),
                    "\(device.name), compute capability \(major).\(minor), \(device.multiprocessors) multiprocessors, "
                        + "\(device.memoryBytes >> 20) MiB\(enough)"
                )
            }
        }
    }
    let compiler = attempt("NVRTC") {
        let compiler = try Compiler(
            architecture: "sm_80", driverVersion: driver?.version() ?? 13_000, cacheFolder: nil)
        return (compiler, "\(compiler.version.major).\(compiler.version.minor), \(compiler.library.path)")
    }
    if let compiler { lines.append(DoctorLine(item: "kernel cache", works: true, detail: compiler.cacheFolder)) }
    _ = attempt("cuBLASLt") {
        let matmul = try MatMul()
        return ((), "\(matmul.version), \(matmul.library.path)")
    }
    return lines
}
