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
    ///   - allowsTF32: round the operands of float32 matrix products on a GPU to TF32
    ///   - overlapsKernels: launch a GPU's kernels beside the one before them where they can wait for it by themselves
    ///   - poison: fill the CPU's fresh memory with NaN, for checks
    func makeBackend(
        computeType: DType = .float32, allowsTF32: Bool = false, overlapsKernels: Bool = true, poison: Bool = false
    ) throws -> Backend {
        switch Device(device) ?? .cpu {
        case .cpu where allowsTF32: throw ValidationError("--tf32 is for a GPU; --device is \(device)")
        case .cpu: return .cpu(CPUBackend(threads: threads, matrixProducts: try .fromEnvironment(), poison: poison))
        case .cuda(let index):
            return .cuda(
                try CUDABackend(
                    deviceIndex: index, computeType: computeType, allowsTF32: allowsTF32,
                    overlapsKernels: overlapsKernels))
        }
    }
}

/// How a GPU computes one token of generation.
struct DecodingOptionGroup: ParsableArguments {
    @Option(help: "On a GPU: kernels of a token: fused (few a block), or those of the operations.")
    var decoding = "fused"

    @Flag(inversion: .prefixedNo, help: "On a GPU: start fused kernels beside the one before them.")
    var overlapKernels = true

    var form: DecodingForm { DecodingForm(rawValue: decoding) ?? .fused }

    func validate() throws {
        if DecodingForm(rawValue: decoding) == nil {
            throw ValidationError("--decoding \(decoding): expected fused or operations")
        }
    }
}

/// How a command's float32 matrix products are computed.
struct ProductOptions: ParsableArguments {
    @Flag(help: "On a GPU: float32 matrix products round their operands to TF32 (10 bits), which is faster.")
    var tf32 = false
}
