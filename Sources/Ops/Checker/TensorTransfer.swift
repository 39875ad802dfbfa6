import GDNAutograd
import GDNTensor

/// Moves elements between arrays and a device.
package protocol TensorTransfer {
    /// A tensor of this dtype with these elements (int32 elements arrive as whole numbers).
    func upload(_ values: [Float], _ shape: Shape, _ dtype: DType) throws -> Tensor
    /// The elements of a tensor.
    func download(_ tensor: Tensor) throws -> [Float]
}

/// The transfer of a backend.
package struct BackendTransfer: TensorTransfer {
    /// Where tensors live.
    package let backend: Backend

    /// A transfer to and from `backend`.
    package init(backend: Backend) {
        self.backend = backend
    }

    package func upload(_ values: [Float], _ shape: Shape, _ dtype: DType) throws -> Tensor {
        switch backend {
        case .cpu(let cpu):
            switch dtype {
            case .float32: return cpu.tensor(values, shape)
            case .int32: return cpu.tensor(values.map { Int32($0) }, shape)
            case .bfloat16: return cpu.convert(cpu.tensor(values, shape), to: .bfloat16)
            case .float16, .uint8: throw BackendError("upload: \(dtype.rawValue) is not supported")
            }
        case .cuda: throw BackendError("upload: not implemented on \(backend.device)")
        }
    }

    package func download(_ tensor: Tensor) throws -> [Float] {
        switch backend {
        case .cpu: return tensor.floatArray()
        case .cuda: throw BackendError("download: not implemented on \(backend.device)")
        }
    }
}
