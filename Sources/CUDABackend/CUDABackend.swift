import GDNTensor

/// Computation on one NVIDIA GPU. Not available yet: creating one throws.
public final class CUDABackend: Sendable {
    /// The device's index.
    public let deviceIndex: Int

    /// Opens the driver and the device.
    /// - Throws: `BackendError` saying what is missing and how to get it.
    public init(deviceIndex: Int = 0) throws {
        throw BackendError("cuda:\(deviceIndex): this build has no CUDA backend; use --device cpu")
    }
}
