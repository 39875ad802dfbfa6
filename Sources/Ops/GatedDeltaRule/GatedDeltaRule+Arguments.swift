import GDNOpsKernels
import GDNTensor

/// Dimensions of one call of the gated delta rule, checked.
struct DeltaRuleShape {
    /// Batch size and tokens a batch row.
    let B: Int
    let T: Int
    /// Key heads and value heads.
    let H: Int
    let HV: Int
    /// Key and value dimension of a head.
    let K: Int
    let V: Int
    /// Factor of the outputs.
    let scale: Float
    /// Whether a write first erases what its key holds; false: gated linear attention.
    let erases: Bool
    /// Tokens of each sequence, as rows of the arrays with B and T joined. Boundaries on a device stay there: then all
    /// are empty, and only their number counts.
    let sequences: [Range<Int>]

    private static let operation = "gated_delta_rule"

    init(
        q: Tensor, k: Tensor, v: Tensor, logDecay: Tensor?, beta: Tensor?, initialState: Tensor?, sequences: Tensor?,
        scale: Float?, erases: Bool
    ) throws {
        let name = Self.operation
        guard q.shape.rank == 4 else { throw ShapeError(name, "q has shape \(q.shape), expected [B, T, H, K]") }
        guard v.shape.rank == 4 else { throw ShapeError(name, "v has shape \(v.shape), expected [B, T, HV, V]") }
        try k.require(name, "k", shape: q.shape, dtype: q.dtype)
        (B, T, H, K) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        (HV, V) = (v.shape[2], v.shape[3])
        try v.require(name, "v", shape: [B, T, HV, V], dtype: q.dtype)
        guard q.shape.count > 0, v.shape.count > 0 else {
            throw ShapeError(name, "q has shape \(q.shape) and v \(v.shape): every dimension must be at least 1")
        }
        guard HV % H == 0 else {
            throw ShapeError(
                name,
                "k has shape \(k.shape) but v has \(HV) heads: value heads must be a multiple of key heads (\(H)).")
        }
        guard q.dtype == .float32 || q.dtype == .bfloat16 else {
            throw ShapeError(name, "q is \(q.dtype.rawValue), expected float32 or bfloat16")
        }
        try logDecay?.require(name, "logDecay", shape: [B, T, HV], dtype: .float32)
        try beta?.require(name, "beta", shape: [B, T, HV], dtype: .float32)
        self.sequences = try Self.ranges(sequences, B: B, T: T)
        try initialState?.require(name, "initialState", shape: [self.sequences.count, HV, K, V], dtype: .float32)
        self.scale = scale ?? 1 / Float(K).squareRoot()
        self.erases = erases
    }

    /// Shape of the states, one a sequence.
    var stateShape: Shape { [sequences.count, HV, K, V] }

    /// Number of sequences.
    var sequenceCount: Int { sequences.count }

    /// Whether every sequence has one token: decoding. (No sequence is empty.)
    var isOneTokenEach: Bool { B * T == sequences.count }

    private static func ranges(_ boundaries: Tensor?, B: Int, T: Int) throws -> [Range<Int>] {
        guard let boundaries else { return (0..<B).map { $0 * T..<($0 + 1) * T } }
        guard B == 1 else {
            throw ShapeError(operation, "sequences are given but q has batch size \(B): packed input must have 1")
        }
        guard boundaries.dtype == .int32, boundaries.shape.rank == 1, boundaries.count >= 2 else {
            throw ShapeError(
                operation,
                "sequences is \(boundaries.dtype.rawValue) of shape \(boundaries.shape), expected int32 [N + 1]")
        }
        guard boundaries.device == .cpu else { return Array(repeating: 0..<0, count: boundaries.count - 1) }
        let values = boundaries.int32Array().map(Int.init)
        guard values.first == 0, values.last == T, zip(values, values.dropFirst()).allSatisfy({ $0 < $1 }) else {
            throw ShapeError(operation, "sequences is \(values), expected increasing boundaries from 0 to T = \(T)")
        }
        return zip(values, values.dropFirst()).map { $0..<$1 }
    }
}

extension DeltaRuleShape {
    /// The dimensions as the kernels take them.
    var kernelShape: gdn_delta_shape {
        gdn_delta_shape(
            key_heads: H, value_heads: HV, key_dim: K, value_dim: V, scale: scale, erases: erases ? 1 : 0)
    }

    /// Offset of a sequence's first token and a key head in [B, T, H, K].
    func keyOffset(_ sequence: Int, _ head: Int) -> Int { (sequences[sequence].lowerBound * H + head) * K }

    /// Offset of a sequence's first token and a value head in [B, T, HV, V].
    func valueOffset(_ sequence: Int, _ head: Int) -> Int { (sequences[sequence].lowerBound * HV + head) * V }

    /// Offset of a sequence's first token and a value head in [B, T, HV].
    func gateOffset(_ sequence: Int, _ head: Int) -> Int { sequences[sequence].lowerBound * HV + head }

    /// Offset of a sequence and a value head in [N, HV, K, V].
    func stateOffset(_ sequence: Int, _ head: Int) -> Int { (sequence * HV + head) * K * V }
}
