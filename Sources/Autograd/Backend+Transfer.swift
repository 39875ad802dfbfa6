import GDNCPUBackend
import GDNCUDABackend
import GDNTensor

/// Elements between arrays and a device.
extension Backend {
    /// A float32 or bfloat16 tensor with these elements.
    /// - Throws: `BackendError` for another dtype, or when the device has no memory.
    package func upload(_ values: [Float], _ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        switch (self, dtype) {
        case (.cpu(let cpu), .float32): return cpu.tensor(values, shape)
        case (.cpu(let cpu), .bfloat16): return cpu.convert(cpu.tensor(values, shape), to: .bfloat16)
        case (.cuda(let cuda), .float32): return try cuda.upload(Tensor(host: values, shape))
        case (.cuda(let cuda), .bfloat16):
            return try cuda.upload(Tensor(host: values.map { BFloat16($0).bitPattern }, shape))
        default:
            throw BackendError("upload: singles cannot become a tensor of \(dtype.rawValue); use float32 or bfloat16")
        }
    }

    /// An int32 tensor with exactly these elements.
    /// - Throws: `BackendError` when the device has no memory.
    package func upload(_ values: [Int32], _ shape: Shape) throws -> Tensor {
        switch self {
        case .cpu(let cpu): cpu.tensor(values, shape)
        case .cuda(let cuda): try cuda.upload(Tensor(host: values, shape))
        }
    }

    /// The elements of a floating-point tensor, once the work that computes them is done.
    package func download(_ tensor: Tensor) throws -> [Float] {
        switch self {
        case .cpu: tensor.floatArray()
        case .cuda(let cuda): try cuda.download(tensor).floatArray()
        }
    }
}
