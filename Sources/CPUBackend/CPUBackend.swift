import GDNCPUKernels
import GDNTensor

/// Computation in main memory: memory, threads and matrix products. It knows no operation by name.
public final class CPUBackend: @unchecked Sendable {
    /// Number of threads that work on one operation.
    public let threadCount: Int
    private let pool: OpaquePointer
    private let poison: Bool

    /// A backend of its own threads.
    /// - Parameters:
    ///   - threads: number of threads, at least 1; all processors this process may use when nil
    ///   - poison: fill fresh memory with NaN and put guard bytes around it (for tests: finds reads of what nobody wrote)
    public init(threads: Int? = nil, poison: Bool = false) {
        threadCount = max(1, threads ?? 2)
        self.poison = poison
        pool = gdn_pool_create(Int32(threadCount))
    }

    deinit {
        gdn_pool_destroy(pool)
    }

    /// A tensor whose elements nobody has written yet.
    package func empty(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
        let byteCount = max(64, shape.count * dtype.byteCount)
        let address = UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: 64)
        if poison { address.initializeMemory(as: UInt8.self, repeating: 0xff, count: byteCount) }
        let storage = Storage(address: address, byteCount: byteCount, device: .cpu) { address, _ in
            address.deallocate()
        }
        return Tensor(shape: shape, dtype: dtype, storage: storage)
    }

    /// A tensor of zeros.
    package func zeros(_ shape: Shape, _ dtype: DType = .float32) -> Tensor {
        let tensor = empty(shape, dtype)
        tensor.address.initializeMemory(as: UInt8.self, repeating: 0, count: tensor.byteCount)
        return tensor
    }

    /// A float32 tensor with these elements.
    package func tensor(_ values: [Float], _ shape: Shape) -> Tensor {
        let tensor = empty(shape)
        values.withUnsafeBufferPointer { tensor.floats.update(from: $0.baseAddress ?? UnsafePointer(tensor.floats), count: shape.count) }
        return tensor
    }

    /// An int32 tensor with these elements.
    package func tensor(_ values: [Int32], _ shape: Shape) -> Tensor {
        let tensor = empty(shape, .int32)
        for (index, value) in values.enumerated() { tensor.int32s[index] = value }
        return tensor
    }

    /// Runs `body` for every task in 0..<count on all threads; returns when all are done.
    ///
    /// Which thread runs a task is not determined, so a task must write only what no other task reads or writes.
    package func parallel(_ count: Int, _ body: (Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var context = body
            withUnsafeMutablePointer(to: &context) { pointer in
                gdn_pool_run(
                    pool, count,
                    { context, task, _ in
                        guard let context else { return }
                        context.assumingMemoryBound(to: ((Int) -> Void).self).pointee(task)
                    }, pointer)
            }
        }
    }

    /// Splits 0..<count into pieces of at least `grain` and runs `body` on each, on all threads.
    package func parallel(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
        let pieces = max(1, min(threadCount * 4, count / max(1, grain)))
        if pieces == 1 { return body(0..<count) }
        parallel(pieces) { piece in
            body(count * piece / pieces..<count * (piece + 1) / pieces)
        }
    }

    /// C[m,n] = alpha · op(A) op(B) + beta · C, row-major, on all threads; `op` transposes where asked.
    ///
    /// Leading dimensions (`lda` …) are distances between rows in elements. With `beta` 0 the old C is not read.
    package func matmul(
        _ c: UnsafeMutablePointer<Float>, ldc: Int, _ a: UnsafePointer<Float>, lda: Int, transposeA: Bool = false,
        _ b: UnsafePointer<Float>, ldb: Int, transposeB: Bool = false, m: Int, n: Int, k: Int, alpha: Float = 1,
        beta: Float = 0
    ) {
        gdn_gemm_f32(transposeA ? 1 : 0, transposeB ? 1 : 0, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
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
        parallel(to.byteCount, grain: 65_536) { range in
            (to.address + range.lowerBound).copyMemory(from: from.address + range.lowerBound, byteCount: range.count)
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
}

extension CPUBackend {
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
