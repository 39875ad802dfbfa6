import GDNAutograd
import GDNCPUBackend
import GDNModels
import GDNOps
import GDNTensor
import Testing

/// One model, three ways to compute it: chunks, one token at a time, and the Double oracle.
@Suite struct ModelFormsTests {
    let cpu = CPUBackend(poison: true)

    /// Every switch of the configuration by name.
    static let variants: [(name: String, change: @Sendable (inout ModelConfiguration) -> Void)] = [
        ("plain", { _ in }), ("untied", { $0.tieWordEmbeddings = false }),
        ("grouped values", { $0.valueHeads = 4 }), ("negative eigenvalues", { $0.allowNegativeEigenvalues = true }),
        ("no output gate", { $0.useGate = false }), ("no convolution", { $0.useShortConvolution = false }),
        ("no decay", { $0.useDecay = false }), ("no beta", { $0.useBeta = false }),
        ("no delta rule", { $0.useDeltaRule = false }),
        ("no delta rule or gates", { ($0.useDeltaRule, $0.useDecay, $0.useBeta) = (false, false, false) }),
        ("no gates at all", { ($0.useDecay, $0.useBeta) = (false, false) }),
        ("no output norm", { $0.useOutputNorm = false }),
        ("no output norm or gate", { ($0.useOutputNorm, $0.useGate) = (false, false) }),
        ("L1, ReLU", { ($0.keyNormalisation, $0.keyActivation) = (.l1, .relu) }),
        ("softmax, ELU", { ($0.keyNormalisation, $0.keyActivation) = (.softmax, .elu) }),
        ("values as wide as keys", { $0.expandValue = 1 }),
    ]

    @Test(arguments: variants.map(\.name))
    func formsAgree(_ name: String) throws {
        var configuration = try #require(ModelConfiguration.preset("tiny"))
        configuration.vocabularySize = 61
        let variant = try #require(Self.variants.first { $0.name == name })
        variant.change(&configuration)
        let model = try LanguageModel(configuration, backend: .cpu(cpu), seed: 3, scheme: .paper)
        var random = Random(seed: 5)
        let tokens = (0..<150).map { _ in Int32(random.index(below: 61)) }

        let expected = DoubleModel(model).logits(tokens).flatMap { $0 }
        var none: LanguageModel.State?
        let chunked = try model.logits(tokens: cpu.tensor(tokens, [1, 150]), state: &none).floatArray()
        #expect(relativeError(chunked, expected) < 1e-5)

        var state: LanguageModel.State? = try model.emptyState()
        let recurrent = try tokens.flatMap { token in
            try model.logits(tokens: cpu.tensor([token], [1, 1]), state: &state).floatArray()
        }
        #expect(relativeError(recurrent, expected) < 1e-5)

        // A prompt in two unequal pieces: prefill from a state and to a state.
        state = try model.emptyState()
        let first = try model.logits(tokens: cpu.tensor(Array(tokens[..<67]), [1, 67]), state: &state).floatArray()
        let second = try model.logits(tokens: cpu.tensor(Array(tokens[67...]), [1, 83]), state: &state).floatArray()
        #expect(relativeError(first + second, expected) < 1e-5)
    }

    @Test func packedSequencesAreIndependent() throws {
        let configuration = try #require(ModelConfiguration.preset("tiny"))
        let model = try LanguageModel(configuration, backend: .cpu(cpu), seed: 1, scheme: .paper)
        var random = Random(seed: 9)
        let tokens = (0..<140).map { _ in Int32(random.index(below: 256)) }
        let targets = (0..<140).map { _ in Int32(random.index(below: 256)) }
        let bounds: [Int32] = [0, 1, 3, 70, 140]
        var none: LanguageModel.State?
        let packed = try model.logProbabilities(
            tokens: cpu.tensor(tokens, [1, 140]), targets: cpu.tensor(targets, [1, 140]),
            sequences: cpu.tensor(bounds, [5]), state: &none
        ).floatArray()
        let apart = try zip(bounds, bounds.dropFirst()).flatMap { start, end in
            let range = Int(start)..<Int(end)
            return try model.logProbabilities(
                tokens: cpu.tensor(Array(tokens[range]), [1, range.count]),
                targets: cpu.tensor(Array(targets[range]), [1, range.count]), state: &none
            ).floatArray()
        }
        #expect(relativeError(packed, apart.map(Double.init)) < 1e-6)
    }

    @Test func recomputationChangesNothing() throws {
        let configuration = try #require(ModelConfiguration.preset("tiny"))
        var random = Random(seed: 4)
        let tokens = cpu.tensor((0..<200).map { _ in Int32(random.index(below: 256)) }, [2, 100])
        let targets = cpu.tensor((0..<200).map { _ in Int32(random.index(below: 256)) }, [2, 100])
        let gradients = try [false, true].map { recompute in
            let model = try LanguageModel(configuration, backend: .cpu(cpu), seed: 1)
            let tape = Tape(model.backend)
            let loss = try model.loss(tape, tokens: tokens, targets: targets, recompute: recompute)
            try tape.backward([loss], gradients: [cpu.tensor([Float(1)], [1])])
            return model.parameters.flatMap { $0.gatheredGradient?.floatArray() ?? [] }.map(\.bitPattern)
        }
        #expect(gradients[0] == gradients[1])
        #expect(gradients[0].count > 100_000)
    }
}
