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

/// How a wide product (`wide.cuh`) is divided among blocks, and the shared memory it takes.
package struct WideProductPlan {
    /// Blocks of the launch.
    package let blocks: Int
    /// Slices of the columns, whose results the reader adds up.
    package let slices: Int
    /// Bytes of dynamic shared memory a block.
    package let shared: Int
    /// Macros of the specialisation.
    package let defines: KernelDefines

    package static let threads = 256
    /// Most rows of x: four tiles of 16.
    package static let mostRows = 64

    /// A plan for `rows` rows of weights; nil where a block does not fit.
    /// - Parameters:
    ///   - inputs: columns of the weights
    ///   - batch: rows of x, at most 64
    ///   - mostSlices: 1 where the reader takes a single result
    ///   - sharedLimit: bytes of shared memory a block can have
    package init?(inputs: Int, rows: Int, batch: Int, mostSlices: Int, multiprocessors: Int, sharedLimit: Int) {
        let tiles = (batch + 15) / 16
        let room = sharedLimit - 1024
        func stage(_ blockRows: Int) -> Int { Self.threads * 16 * (blockRows / 8 + 2 * tiles) }
        func sums(_ blockRows: Int) -> Int { 4 * 8 * 16 * tiles * (blockRows % 16 == 8 ? blockRows : blockRows + 8) }
        // What a multiprocessor reads: its share of W, and its columns of x for every block, in whole steps of its warps; a
        // launch and its sums count as much as 32 KB. More than 88 rows do not fit into registers.
        var best: (cost: Int, rows: Int, slice: Int)?
        for slices in 1...mostSlices {
            let slice = ((inputs + slices - 1) / slices + 31) / 32 * 32
            for blockRows in stride(from: 8, through: 88, by: 8) where max(stage(blockRows), sums(blockRows)) <= room {
                let blocks = (rows + blockRows - 1) / blockRows * ((inputs + slice - 1) / slice)
                let waves = (blocks + multiprocessors - 1) / multiprocessors
                let parts = slices == 1 ? 0 : 4 * slices * batch * rows / multiprocessors
                let steps = (slice + 255) / 256
                let cost = waves * (512 * steps * (blockRows + 16 * tiles) + (32 << 10)) + parts
                if cost < best?.cost ?? .max { best = (cost, blockRows, slice) }
            }
        }
        guard let best else { return nil }
        let steps = (best.slice + 255) / 256
        // More on the way than memory needs makes the first step wait longer.
        let stages = max(1, min(steps, min(room, 156 << 10) / stage(best.rows)))
        slices = (inputs + best.slice - 1) / best.slice
        blocks = (rows + best.rows - 1) / best.rows * slices
        shared = max(stages * stage(best.rows), sums(best.rows))
        defines = [
            ("INPUTS", "\(inputs)"), ("SLICE", "\(best.slice)"), ("SLICES", "\(slices)"),
            ("WEIGHT_ROWS", "\(best.rows)"), ("TILES", "\(tiles)"), ("STAGES", "\(stages)"),
        ]
    }
}

/// How the step of the recurrence is divided among blocks.
struct DecodingStepPlan {
    let blocks: Int
    let defines: KernelDefines

    static let threads = 128

    /// - Parameter batch: sequences: few take narrow tiles, so that every multiprocessor has one; many take wide ones, as
    ///   far as a thread's share of S fits into 128 registers
    init(_ options: DecodingOptions, batch: Int) {
        let all = batch * options.valueHeads * options.valueDim
        let columns = all <= 16 << 10 ? 16 : all < 128 << 10 || options.keyDim > 256 ? 32 : 64
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
