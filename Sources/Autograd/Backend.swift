import GDNCPUBackend
import GDNCUDABackend
import GDNTensor

/// Where operations run. Every operation switches on it and calls its form for that device.
public enum Backend: Sendable {
    /// Main memory, all threads.
    case cpu(CPUBackend)
    /// One NVIDIA GPU.
    case cuda(CUDABackend)

    /// The device tensors of this backend live on.
    public var device: Device {
        switch self {
        case .cpu: .cpu
        case .cuda(let backend): .cuda(backend.deviceIndex)
        }
    }

    /// `to += from`, of equal count and dtype (float32 or bfloat16).
    package func add(into to: Tensor, _ from: Tensor) throws {
        switch self {
        case .cpu(let backend): backend.add(into: to, from)
        case .cuda(let backend): try backend.add(into: to, from)
        }
    }

    /// Copies elements between tensors of equal count and dtype; on a GPU float32 and bfloat16 convert.
    package func copy(_ from: Tensor, into to: Tensor) throws {
        switch self {
        case .cpu(let backend): backend.copy(from, into: to)
        case .cuda(let backend): try backend.convert(from, into: to)
        }
    }

    /// A new tensor `a + b`.
    package func sum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        switch self {
        case .cpu(let backend):
            let result = backend.empty(a.shape, a.dtype)
            backend.copy(a, into: result)
            backend.add(into: result, b)
            return result
        case .cuda(let backend): return try backend.sum(a, b)
        }
    }

    /// A float32 tensor whose elements nobody has written yet.
    package func empty(_ shape: Shape) throws -> Tensor {
        switch self {
        case .cpu(let backend): return backend.empty(shape)
        case .cuda(let backend): return try backend.empty(shape)
        }
    }

    /// A tensor of zeros.
    package func zeros(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        switch self {
        case .cpu(let backend): return backend.zeros(shape, dtype)
        case .cuda(let backend): return try backend.zeros(shape, dtype)
        }
    }
}
