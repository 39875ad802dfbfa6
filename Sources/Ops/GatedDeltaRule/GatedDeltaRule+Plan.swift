import GDNCUDABackend
import GDNTensor

/// Tile sizes of the chunkwise CUDA kernels for one call: what `chunk.cuh` computes, once more on this side.
///
/// Value columns never mix, so how many of them a block owns changes nothing in the results. Dividing sequences into
/// segments does change their rounding: whether that happens depends on the number of sequences and heads, on T and V, and on
/// the device's multiprocessors, never on the data.
struct DeltaRulePlan {
    let defines: KernelDefines
    let scanDefines: KernelDefines
    let gradientDefines: KernelDefines
    /// Threads of the scans, and value tiles a head.
    let scanThreads: Int
    let valueTiles: Int
    /// Key tiles of the gradient kernel.
    let keyTiles: Int
    /// The passes that divide long sequences: forwards with narrow blocks, backwards as the scan.
    let segmentDefines: KernelDefines
    let segmentThreads: Int
    let segmentTiles: Int
    /// Chunks in all (of packed sequences at most), chunks a segment, and segments at most.
    let chunkCapacity: Int
    let chunksPerSegment: Int
    let segmentCapacity: Int
    /// Whether a sequence may have several segments.
    let divides: Bool
    /// Dynamic shared memory of the kernels.
    let prepareBytes: Int
    let scanBytes: Int
    let backwardScanBytes: Int
    let segmentBytes: Int
    let stateBytes: Int
    let gradientBytes: Int

    init(_ device: DeviceDescription, _ shape: DeltaRuleShape, _ dtype: DType, isPacked: Bool) throws {
        guard shape.K <= 512 else {
            throw ShapeError("gated_delta_rule", "q has key dim \(shape.K): the CUDA form takes at most 512")
        }
        let size = dtype.byteCount
        let pad = 16 / size
        // Above 256 two warps share a state; in float32 there is room for one tile of keys only.
        let splits = shape.K > 256 ? 2 : 1
        let keyPart = (shape.K + 16 * splits - 1) / (16 * splits) * 16
        let keyPitch = keyPart * splits + pad
        let keyTilesAtOnce = splits > 1 && dtype == .float32 ? 1 : 2
        let chunkPitch = 64 + pad
        // The matrix units of a warpgroup read tiles of keys by themselves: swizzled instead of padded, stages at multiples of
        // 1024 bytes. Faster forwards and in segments, slower backwards, as measured.
        let hasWarpgroups =
            dtype == .bfloat16 && device.computeCapability == (9, 0) && [64, 128, 256].contains(shape.K)
        let gateBytes = 5 * 64 * 4
        // As many segments as it takes to fill the device, where they are four times the sequences or more: the division
        // costs a second pass, over the columns of a transition matrix as well.
        let sequences = shape.sequenceCount
        let capacity = isPacked ? (shape.T + 63) / 64 + sequences : shape.B * ((shape.T + 63) / 64)
        func segments(ofTiles tiles: Int) -> Int? {
            let wanted = device.multiprocessors / (shape.HV * tiles)
            return wanted >= 4 * sequences ? wanted : nil
        }
        // Wide blocks share the tiles of q and k; narrower ones where that would leave multiprocessors without work, even
        // with sequences in segments of 16 chunks.
        let wideTiles = (shape.V + 127) / 128
        let most = segments(ofTiles: wideTiles) == nil ? sequences : max(sequences, capacity / 16)
        let fills = most * shape.HV * wideTiles * 2 > device.multiprocessors
        let warps = dtype == .bfloat16 && shape.V > 64 && shape.K <= 128 && fills ? 8 : 4
        // `ScanStage` of `scan.cuh`; what a pass leaves out keeps a vector's place.
        func stage(warps: Int, reads: Bool, warpgroups: Bool) -> Int {
            let keyElements = 64 * (warpgroups ? shape.K : keyPitch)
            let queries = reads && keyTilesAtOnce == 2 ? keyElements : pad
            let scores = reads ? 64 * chunkPitch : pad
            let elements = keyElements + 64 * (16 * warps / splits + pad) + 64 * chunkPitch + queries + scores
            let bytes = elements * size + (splits > 1 ? warps * 32 * 32 : pad) * 4 + gateBytes
            return warpgroups ? (bytes + 1023) / 1024 * 1024 : bytes
        }
        let valueTile = 16 * warps / splits
        let scanStage = stage(warps: warps, reads: true, warpgroups: false)
        let scanStages = 2 * scanStage <= device.sharedBytesPerBlock && dtype == .bfloat16 ? 2 : 1

        keyTiles = (keyPitch - pad + 127) / 128
        let keyTile = ((keyPitch - pad) / 16 + keyTiles - 1) / keyTiles * 16
        let gradientStage = (3 * 64 * chunkPitch + 4 * 64 * (keyTile + pad)) * size
        let gradientFixed = (13 * 64 + 4) * 4
        let gradientStages =
            gradientFixed + 2 * gradientStage <= device.sharedBytesPerBlock && dtype == .bfloat16 ? 2 : 1

        let common = [
            ("KEY_DIM", "\(shape.K)"), ("VALUE_DIM", "\(shape.V)"), ("GROUPS", "\(shape.HV / shape.H)"),
            ("ERASES", shape.erases ? "1" : "0"), ("ONE_KEY_TILE", keyTilesAtOnce == 1 ? "1" : "0"),
        ]
        let scanForm = [("STAGES", "\(scanStages)"), ("WARPGROUPS", hasWarpgroups ? "1" : "0")]
        defines = common + [("VALUE_WARPS", "\(warps)"), ("STAGES", "\(scanStages)")]
        scanDefines = common + [("VALUE_WARPS", "\(warps)")] + scanForm
        let segmentWarps = 4
        segmentDefines = common + [("VALUE_WARPS", "\(segmentWarps)")] + scanForm
        gradientDefines = common + [("VALUE_WARPS", "\(warps)"), ("STAGES", "\(gradientStages)")]
        scanThreads = 32 * warps
        valueTiles = (shape.V + valueTile - 1) / valueTile
        segmentThreads = 32 * segmentWarps
        let segmentTile = 16 * segmentWarps / splits
        segmentTiles = (shape.V + segmentTile - 1) / segmentTile + (shape.K + segmentTile - 1) / segmentTile
        segmentBytes = scanStages * stage(warps: segmentWarps, reads: false, warpgroups: hasWarpgroups)

        chunkCapacity = capacity
        chunksPerSegment = segments(ofTiles: valueTiles).map { max(16, (capacity + $0 - 1) / $0) } ?? capacity
        divides = chunkCapacity > chunksPerSegment
        segmentCapacity = sequences + (divides ? chunkCapacity / chunksPerSegment : 0)

        prepareBytes = max(2 * 64 * (keyPart + pad) * size, 3 * 64 * (64 + 4) * (dtype == .bfloat16 ? 4 : 8))
        scanBytes = scanStages * stage(warps: warps, reads: true, warpgroups: hasWarpgroups)
        backwardScanBytes = scanStages * scanStage
        stateBytes = (keyPart > 128 ? 1 : scanStages) * ((64 * keyPitch + 64 * (valueTile + pad)) * size + gateBytes)
        gradientBytes = gradientFixed + gradientStages * gradientStage
        let needed = max(prepareBytes, scanBytes, backwardScanBytes, segmentBytes, gradientBytes)
        guard needed <= device.sharedBytesPerBlock else {
            throw BackendError(
                "gated_delta_rule: K \(shape.K), V \(shape.V) in \(dtype.rawValue) needs \(needed) bytes of shared memory a "
                    + "block, \(device.name) has \(device.sharedBytesPerBlock); use bfloat16")
        }
    }
}
