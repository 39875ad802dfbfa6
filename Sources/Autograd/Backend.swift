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

    /// `to += from`, both float32 of equal count.
    package func add(into to: Tensor, _ from: Tensor) throws {
        switch self {
        case .cpu(let backend): backend.add(into: to, from)
        case .cuda: throw BackendError("add: not implemented on \(device)")
        }
    }

    /// Copies elements between float32 tensors of equal count.
    package func copy(_ from: Tensor, into to: Tensor) throws {
        switch self {
        case .cpu: to.floats.update(from: from.floats, count: from.count)
        case .cuda: throw BackendError("copy: not implemented on \(device)")
        }
    }

    /// A new tensor `a + b`.
    package func sum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
        switch self {
        case .cpu(let backend):
            let result = backend.empty(a.shape)
            result.floats.update(from: a.floats, count: a.count)
            backend.add(into: result, b)
            return result
        case .cuda: throw BackendError("sum: not implemented on \(device)")
        }
    }

    /// A tensor of zeros.
    package func zeros(_ shape: Shape, _ dtype: DType = .float32) throws -> Tensor {
        switch self {
        case .cpu(let backend): return backend.zeros(shape, dtype)
        case .cuda: throw BackendError("zeros: not implemented on \(device)")
        }
    }
}
