import GDNCUDABackend
import GDNTensor

/// How a streamed product (`product.cuh`) is divided among blocks, and the shared memory it takes.
package struct StreamedProductPlan {
    /// Blocks of the launch.
    package let blocks: Int
    /// Bytes of dynamic shared memory a block.
    package let shared: Int
    /// Macros of the specialisation.
    package let defines: KernelDefines

    static let warps = 8
    /// Threads a block.
    package static let threads = 32 * warps

    /// A plan for `units` units of eight rows of weights; nil where a multiprocessor has no room for the rows of x.
    /// - Parameters:
    ///   - inputs: columns of the weights
    ///   - batch: rows of x, at most 8
    ///   - multiprocessors: of the device
    ///   - sharedLimit: bytes of shared memory a block can have
    package init?(inputs: Int, units: Int, batch: Int, dtype: DType, multiprocessors: Int, sharedLimit: Int) {
        blocks = min(units, multiprocessors)
        // Sums of a round wait in shared memory, and a thread finishes at most two of them: rounds as few and as equal
        // as that allows.
        let unitsABlock = (units + blocks - 1) / blocks
        let most = min(12, 2 * Self.threads / (8 * batch))
        let rounds = (unitsABlock + most - 1) / most
        let unitsARound = (unitsABlock + rounds - 1) / rounds
        // A portion is 8 rows of 256 bytes; rows of x lie an odd number of 64-byte pieces apart.
        let portions = (inputs * dtype.byteCount + 255) / 256
        let fixed = batch * (portions * 4 | 1) * 64 + 4 * unitsARound * Self.warps * batch * 8
        // Two kernels shall fit beside each other: the next one's first weights are on their way while this one ends.
        let portion = 4 * Self.threads * 16
        let ring = max(2, min(6, ((109 << 10) - fixed) / portion))
        shared = fixed + ring * portion
        guard shared + 1024 <= sharedLimit else { return nil }
        defines = [
            ("INPUTS", "\(inputs)"), ("BATCH", "\(batch)"), ("BLOCK_WARPS", "\(Self.warps)"),
            ("RING_PORTIONS", "\(ring)"), ("UNITS", "\(unitsARound)"),
        ]
    }
}

/// How the step of the recurrence is divided among blocks.
struct DecodingStepPlan {
    let blocks: Int
    let defines: KernelDefines

    static let threads = 128

    /// - Parameter batch: sequences: few take narrow tiles, so that every multiprocessor has one
    init(_ options: DecodingOptions, batch: Int) {
        let columns = batch * options.valueHeads * options.valueDim <= 16 * 1024 ? 16 : 32
        blocks = batch * options.valueHeads * ((options.valueDim + columns - 1) / columns)
        defines = [
            ("KEY_DIM", "\(options.keyDim)"), ("VALUE_DIM", "\(options.valueDim)"),
            ("GROUPS", "\(options.valueHeads / options.heads)"), ("TILE_COLUMNS", "\(columns)"),
            ("BLOCK_WARPS", "\(Self.threads / 32)"), ("HAS_DECAY", options.hasDecay ? "1" : "0"),
            ("HAS_BETA", options.hasBeta ? "1" : "0"), ("NORMALISES", options.keyNormalisation == .l2 ? "1" : "0"),
            ("ERASES", options.erases ? "1" : "0"),
        ]
    }
}
