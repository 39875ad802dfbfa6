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
    /// - Parameter computeType: of activations on a GPU; the CPU computes in float32
    func makeBackend(computeType: DType = .float32) throws -> Backend {
        switch Device(device) ?? .cpu {
        case .cpu: .cpu(CPUBackend(threads: threads))
        case .cuda(let index): .cuda(try CUDABackend(deviceIndex: index, computeType: computeType))
        }
    }
}
