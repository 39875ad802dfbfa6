import GDNAutograd
import GDNTensor

/// Test cases of `gated_delta_rule`.
enum GatedDeltaRuleCases {
    static let all: [OperationCase] = [
        Options("tiny", T: 4, K: 3, V: 2, state: true, tiny: true),
        Options("tiny_grouped_packed", T: 5, H: 1, HV: 2, K: 2, V: 3, boundaries: [0, 1, 5], state: true, tiny: true),
        Options("tiny_plain_delta_rule", T: 3, K: 2, V: 2, decay: .none, hasBeta: false, tiny: true),
        Options("ragged_T1", T: 1, H: 3, K: 16, V: 16),
        Options("ragged_T63", B: 3, T: 63, K: 16, V: 16),
        Options("ragged_T64", T: 64, H: 3, K: 32, V: 32),
        Options("ragged_T65", B: 3, T: 65, H: 3, K: 16, V: 16),
        Options("ragged_T100", T: 100, H: 1, K: 16, V: 32),
        Options("ragged_T257", T: 257, H: 3, K: 16, V: 16),
        Options("unequal_24_48", T: 70, H: 2, K: 24, V: 48),
        Options("unequal_96_192", T: 40, H: 2, K: 96, V: 192, state: true),
        Options("unequal_40_20", T: 66, H: 1, K: 40, V: 20, state: true),
        Options("grouped_2", B: 2, T: 70, H: 2, HV: 4, K: 16, V: 16),
        Options("grouped_3_state", T: 130, H: 1, HV: 3, K: 16, V: 24, state: true),
        Options("strong_decay", T: 200, H: 2, K: 16, V: 16, decay: .strong, state: true),
        Options("zero_gates", T: 80, H: 1, K: 16, V: 16, decay: .zero),
        Options("minus_80", T: 150, H: 1, K: 16, V: 16, decay: .sometimesMinus80, state: true),
        Options("negative_eigenvalues", T: 130, H: 2, K: 32, V: 32, maximalBeta: 2),
        Options("zero_write_strength", T: 80, H: 1, K: 16, V: 16, maximalBeta: 0),
        Options("negative_write_strength", T: 80, H: 1, K: 16, V: 16, minimalBeta: -1, state: true),
        Options("plain_delta_rule", T: 100, H: 2, K: 16, V: 16, decay: .none, state: true),
        Options("packed", T: 130, H: 2, K: 16, V: 16, boundaries: [0, 1, 65, 66, 130]),
        Options("packed_state", T: 140, H: 1, HV: 2, K: 16, V: 32, boundaries: [0, 5, 6, 70, 140], state: true),
        Options("correlated_keys_32", T: 130, H: 1, K: 32, V: 32, decay: .none, keys: .correlated),
        Options("correlated_keys_128", T: 130, H: 1, K: 128, V: 128, decay: .none, keys: .correlatedByRatio),
        Options("head_64", T: 100, H: 2, K: 64, V: 64),
        Options("head_128", T: 70, H: 1, K: 128, V: 128, state: true),
        Options("head_256", T: 66, H: 1, K: 256, V: 256),
        Options("head_512", T: 20, H: 1, K: 512, V: 512, state: true),
        Options("head_300_40", T: 130, H: 1, HV: 2, K: 300, V: 40, boundaries: [0, 60, 130], state: true),
        // Long sequences, which a GPU divides; weak writes, so that what came before a segment matters in it.
        Options("long_state", T: 4200, H: 1, K: 16, V: 24, decay: .none, maximalBeta: 0.02, state: true),
        Options("long_grouped", T: 4100, H: 1, HV: 2, K: 16, V: 16, state: true),
        Options("long_packed_state", T: 4300, H: 1, K: 24, V: 16, boundaries: [0, 70, 4200, 4201, 4300], state: true),
        // More sequences than a GPU has multiprocessors to divide them among: each is one segment.
        Options("many_sequences", B: 40, T: 70, H: 1, K: 16, V: 16, state: true),
        Options("tiny_no_erase", T: 4, K: 3, V: 2, state: true, erases: false, tiny: true),
        Options(
            "tiny_no_erase_grouped_packed", T: 5, H: 1, HV: 2, K: 2, V: 3, boundaries: [0, 1, 5], state: true,
            erases: false, tiny: true),
        Options("no_erase_ragged_T1", T: 1, H: 3, K: 16, V: 16, state: true, erases: false),
        Options("no_erase_ragged_T65", B: 3, T: 65, H: 3, K: 16, V: 16, erases: false),
        Options("no_erase_ragged_T100", T: 100, H: 1, K: 24, V: 40, state: true, erases: false),
        Options("no_erase_grouped", T: 130, H: 2, HV: 6, K: 16, V: 24, state: true, erases: false),
        Options(
            "no_erase_packed_state", T: 140, H: 1, HV: 2, K: 16, V: 32, boundaries: [0, 5, 6, 70, 140], state: true,
            erases: false),
        Options("no_erase_strong_decay", T: 200, H: 2, K: 16, V: 16, decay: .strong, state: true, erases: false),
        Options("no_erase_no_gates", T: 100, H: 2, K: 16, V: 16, decay: .none, hasBeta: false, erases: false),
        Options("no_erase_head_64_128", B: 2, T: 512, H: 2, K: 64, V: 128, erases: false),
        Options("training", B: 2, T: 512, H: 2, K: 64, V: 128),
    ].map(make)

    private enum Decay {
        case none, zero, ordinary, strong, sometimesMinus80
    }

    /// Correlated keys come with β near 2; by ratio: judged by the error of the plain recurrence in float32.
    private enum Keys {
        case independent, correlated, correlatedByRatio
    }

    private struct Options {
        var name: String
        var B: Int
        var T: Int
        var H: Int
        var HV: Int
        var K: Int
        var V: Int
        var decay: Decay
        var minimalBeta: Double
        var maximalBeta: Double
        var hasBeta: Bool
        var boundaries: [Int]?
        var state: Bool
        var erases: Bool
        var keys: Keys
        var tiny: Bool

        init(
            _ name: String, B: Int = 1, T: Int, H: Int = 2, HV: Int? = nil, K: Int, V: Int, decay: Decay = .ordinary,
            minimalBeta: Double = 0, maximalBeta: Double = 1, hasBeta: Bool = true, boundaries: [Int]? = nil,
            state: Bool = false,
            erases: Bool = true, keys: Keys = .independent, tiny: Bool = false
        ) {
            (self.name, self.B, self.T, self.H, self.HV, self.K, self.V) = (name, B, T, H, HV ?? H, K, V)
            (self.decay, self.minimalBeta, self.maximalBeta, self.hasBeta) = (decay, minimalBeta, maximalBeta, hasBeta)
            (self.boundaries, self.state, self.erases) = (boundaries, state, erases)
            (self.keys, self.tiny) = (keys, tiny)
        }
    }

    private static func make(_ o: Options) -> OperationCase {
        let reference = GatedDeltaRuleReference(
            hasDecay: o.decay != .none, hasBeta: o.hasBeta, hasInitialState: o.state, isPacked: o.boundaries != nil,
            erases: o.erases)
        let inputs = inputs(o)
        // 2 [2 C² K + 3 C K V + 2 C² V] a chunk and value head, C = 64.
        let tokenHeads = o.B * o.T * o.HV
        let perToken: Int = 2 * (2 * 64 * o.K + 3 * o.K * o.V + 2 * 64 * o.V)
        let elements: Int = inputs.map(\.shape.count).reduce(0, +) + tokenHeads * o.V
        return OperationCase(
            operation: "gated_delta_rule", name: o.name, inputs: inputs, outputs: ["o", "finalState"],
            budget: .float32Reassociated, illConditioned: o.keys == .correlatedByRatio,
            illConditionedInBFloat16: o.keys != .independent, tiny: o.tiny,
            flops: Double(tokenHeads * perToken), bytes: Double(4 * elements), reference: reference
        ) { tape, inputs in
            try run(reference, tape, inputs)
        }
    }

    private static func run(_ reference: GatedDeltaRuleReference, _ tape: Tape, _ inputs: [Variable]) throws
        -> [Variable]
    {
        var rest = inputs.dropFirst(3)
        let logDecay = reference.hasDecay ? rest.popFirst() : nil
        let beta = reference.hasBeta ? rest.popFirst() : nil
        let state = reference.hasInitialState ? rest.popFirst() : nil
        let (output, finalState) = try tape.gatedDeltaRule(
            inputs[0], inputs[1], inputs[2], logDecay: logDecay, beta: beta, initialState: state,
            sequences: reference.isPacked ? rest.popFirst()?.value : nil, erases: reference.erases)
        return [output, finalState]
    }

    private static func inputs(_ o: Options) -> [OperationCase.Input] {
        let unit = 1 / Double(o.K).squareRoot()
        let keys = [o.B, o.T, o.H, o.K]
        var inputs: [OperationCase.Input] = [
            .normal("q", Shape(keys), scale: unit),
            // Keys of about unit length; with β up to 2 a little shorter, so that no state grows without bound.
            o.keys != .independent
                ? .normal("k", Shape(keys), scale: 0.1 * unit, mean: 0.99 * unit)
                : .normal("k", Shape(keys), scale: (o.maximalBeta > 1 ? 0.8 : 1) * unit),
            .normal("v", [o.B, o.T, o.HV, o.V]),
        ]
        if o.decay != .none { inputs.append(decay(o.decay, [o.B, o.T, o.HV])) }
        if o.hasBeta {
            let (low, high) = o.keys != .independent ? (1.9, 1.99) : (o.minimalBeta, o.maximalBeta)
            inputs.append(
                OperationCase.Input(
                    name: "beta", shape: [o.B, o.T, o.HV], alwaysFloat32: true, isGate: true,
                    draw: { low + (high - low) * $0.uniform() }))
        }
        let sequences = o.boundaries.map { $0.count - 1 } ?? o.B
        if o.state { inputs.append(.normal("initialState", [sequences, o.HV, o.K, o.V]).with(alwaysFloat32: true)) }
        if let boundaries = o.boundaries { inputs.append(.integers("sequences", boundaries)) }
        return inputs
    }

    private static func decay(_ decay: Decay, _ shape: Shape) -> OperationCase.Input {
        let draw: @Sendable (inout Random) -> Double =
            switch decay {
            case .none, .zero: { _ in 0 }
            case .ordinary: { -Double.softplus($0.normal() - 3) }
            // From about 0 to about −150 a step.
            case .strong: { -16 * Double.softplus(3 * $0.normal() - 3) }
            case .sometimesMinus80: { $0.uniform() < 0.1 ? -80 : -Double.softplus($0.normal() - 3) }
            }
        return OperationCase.Input(name: "logDecay", shape: shape, alwaysFloat32: true, isGate: true, draw: draw)
    }
}
