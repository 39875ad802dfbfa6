import GDNCPUKernels
import GDNTensor

/// Tensors in main memory and the passes over them that belong to no operation.
extension CPUBackend {
    /// A tensor whose elements nobody has written yet.
    package func empty(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
        Tensor(shape: shape, dtype: dtype, storage: memory.storage(byteCount: shape.count * dtype.byteCount))
    }

    /// A tensor of zeros.
    package func zeros(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
        let tensor = empty(shape, dtype)
        parallel(tensor.byteCount, grain: 1 << 18) { memset(tensor.address + $0.lowerBound, 0, $0.count) }
        return tensor
    }

    /// A float32 tensor with these elements.
    package func tensor(_ values: [Float], _ shape: Shape) -> Tensor {
        let tensor = empty(shape)
        values.withUnsafeBytes { fill(tensor, $0) }
        return tensor
    }

    /// An int32 tensor with these elements.
    package func tensor(_ values: [Int32], _ shape: Shape) -> Tensor {
        let tensor = empty(shape, .int32)
        values.withUnsafeBytes { fill(tensor, $0) }
        return tensor
    }

    private func fill(_ tensor: Tensor, _ bytes: UnsafeRawBufferPointer) {
        assert(bytes.count == tensor.byteCount)
        if let base = bytes.baseAddress { tensor.address.copyMemory(from: base, byteCount: tensor.byteCount) }
    }

    /// `to += from`, of equal count and dtype (float32 or bfloat16).
    package func add(into to: Tensor, _ from: Tensor) {
        parallel(to.count, grain: 16_384) { range in
            if to.dtype == .bfloat16 {
                gdn_add_bf16(to.bfloat16Bits + range.lowerBound, from.bfloat16Bits + range.lowerBound, range.count)
            } else {
                gdn_add_f32(to.floats + range.lowerBound, from.floats + range.lowerBound, range.count)
            }
        }
    }

    /// Copies elements between tensors of equal count and dtype.
    package func copy(_ from: Tensor, into to: Tensor) {
        parallel(to.byteCount, grain: 1 << 17) { range in
            memcpy(to.address + range.lowerBound, from.address + range.lowerBound, range.count)
        }
    }

    /// A copy of a floating-point tensor in another floating-point dtype (float32 or bfloat16).
    package func convert(_ tensor: Tensor, to dtype: DType) -> Tensor {
        if tensor.dtype == dtype { return tensor }
        let result = empty(tensor.shape, dtype)
        parallel(tensor.count, grain: 16_384) { range in
            let start = range.lowerBound
            if dtype == .bfloat16 {
                gdn_f32_to_bf16(result.bfloat16Bits + start, tensor.floats + start, range.count)
            } else {
                gdn_bf16_to_f32(result.floats + start, tensor.bfloat16Bits + start, range.count)
            }
        }
        return result
    }

    /// Multiplies every element of a float32 tensor by `factor`, in place.
    package func scale(_ tensor: Tensor, by factor: Float) {
        parallel(tensor.count, grain: 16_384) { gdn_scale_f32(tensor.floats + $0.lowerBound, factor, $0.count) }
    }

    /// A sum over rows that is the same for every number of threads: rows are cut into fixed blocks, `body` adds each
    /// block's share into a zeroed partial buffer of `shape`, and the partials are added in order.
    package func sumOverRowBlocks(
        rows: Int, shape: Shape, blockRows: Int = 256, _ body: (Range<Int>, UnsafeMutablePointer<Float>) -> Void
    ) -> Tensor {
        let blocks = max(1, (rows + blockRows - 1) / blockRows)
        let partials = zeros(Shape([blocks] + shape.dims))
        parallel(blocks) { block in
            let range = block * blockRows..<min(rows, (block + 1) * blockRows)
            body(range, partials.floats + block * shape.count)
        }
        for block in stride(from: 1, to: blocks, by: 1) {
            gdn_add_f32(partials.floats, partials.floats + block * shape.count, shape.count)
        }
        return partials.slice(0..<1).reshaped(shape)
    }
}
