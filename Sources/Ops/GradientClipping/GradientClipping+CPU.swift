import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

/// Sums of squares of fixed blocks, on all threads, then added in order, in double throughout.
func globalNormCPU(_ cpu: CPUBackend, _ tensors: [Tensor]) -> Double {
    let blocks = elementBlocks(tensors.map(\.count))
    var sums = [Double](repeating: 0, count: blocks.count)
    sums.withUnsafeMutableBufferPointer { sums in
        guard let first = sums.baseAddress else { return }
        cpu.parallel(blocks.count, grain: 1) { range in
            for index in range {
                let block = blocks[index]
                first[index] = gdn_sum_of_squares(
                    tensors[block.tensor].floats + block.elements.lowerBound, block.elements.count)
            }
        }
    }
    return sums.reduce(0, +).squareRoot()
}
