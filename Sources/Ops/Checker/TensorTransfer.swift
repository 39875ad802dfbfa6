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
        case .cuda(let cuda):
            switch dtype {
            case .float32: return try cuda.upload(Tensor(host: values, shape))
            case .int32: return try cuda.upload(Tensor(host: values.map { Int32($0) }, shape))
            case .bfloat16: return try cuda.upload(Tensor(host: values.map { BFloat16($0).bitPattern }, shape))
            case .float16, .uint8: throw BackendError("upload: \(dtype.rawValue) is not supported")
            }
        }
    }

    package func download(_ tensor: Tensor) throws -> [Float] {
        switch backend {
        case .cpu: return tensor.floatArray()
        case .cuda(let cuda): return try cuda.download(tensor).floatArray()
        }
    }
}
