import ArgumentParser
import GatedDeltaNet

/// Where a command computes.
struct DeviceOptions: ParsableArguments {
    @Option(help: "Device: cpu, cuda or cuda:N.")
    var device = "cpu"

    @Option(help: "Threads on the CPU; all processors when not given.")
    var threads: Int?

    func validate() throws {
        if Device(device) == nil { throw ValidationError("--device \(device): expected cpu, cuda or cuda:N") }
        if let threads, threads < 1 { throw ValidationError("--threads \(threads): expected at least 1") }
    }

    /// Opens the device.
    /// - Throws: `BackendError` when there is no such device, or `GDN_BLAS` names no matrix library.
    /// - Parameters:
    ///   - computeType: of activations on a GPU; the CPU computes in float32
    ///   - poison: fill the CPU's fresh memory with NaN, for checks
    func makeBackend(computeType: DType = .float32, poison: Bool = false) throws -> Backend {
        switch Device(device) ?? .cpu {
        case .cpu: .cpu(CPUBackend(threads: threads, matrixProducts: try .fromEnvironment(), poison: poison))
        case .cuda(let index): .cuda(try CUDABackend(deviceIndex: index, computeType: computeType))
        }
    }
}
