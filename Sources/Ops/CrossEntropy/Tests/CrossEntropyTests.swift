import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct CrossEntropyTests {
    let cpu = CPUBackend(threads: 2, poison: true)

    @Test(arguments: ["ignore_index", "large_logits"]) func golden(_ name: String) throws {
        let golden = try Golden("ops/cross_entropy_\(name)")
        let shape = try golden.shape("in.logits")
        let logits = Variable(cpu.tensor(try golden.floats("in.logits"), shape), requiresGradient: true)
        let targets = cpu.tensor(try golden.integers("in.targets"), [shape[0]])
        let tape = Tape(.cpu(cpu))
        let loss = try tape.crossEntropy(logits, targets: targets)
        #expect(relativeError(loss.value.floatArray(), try golden.floats("out.loss")) <= 2e-6)
        try tape.backward([loss], gradients: [cpu.tensor(try golden.floats("dout.loss"), [1])])
        let gradient = try #require(logits.gradient)
        #expect(relativeError(gradient.floatArray(), try golden.floats("grad.logits")) <= 2e-6)

        // Logits as a head: hidden = logits, weight = identity.
        let identity = cpu.zeros([shape[1], shape[1]])
        for index in 0..<shape[1] { identity.floats[index * shape[1] + index] = 1 }
        let logProbabilities = try tape.logProbabilities(hidden: logits.value, weight: identity, targets: targets)
        #expect(relativeError(logProbabilities.floatArray().map { -$0 }, try golden.floats("out.nll")) <= 2e-6)
    }

    /// The mean over log-probabilities is the loss, also when blocks of rows do not divide the rows.
    @Test func logProbabilitiesAgreeWithTheLoss() throws {
        var random = Random(seed: 4)
        let (rows, width, vocabulary) = (150, 6, 40_000)
        func draw(_ shape: Shape) -> Tensor { cpu.tensor((0..<shape.count).map { _ in Float(random.normal()) }, shape) }
        let (hidden, weight) = (draw([3, 50, width]), draw([vocabulary, width]))
        let targets = cpu.tensor((0..<rows).map { _ in Int32(random.index(below: vocabulary)) }, [3, 50])
        let tape = Tape(.cpu(cpu), recording: false)
        let each = try tape.logProbabilities(hidden: hidden, weight: weight, targets: targets)
        #expect(each.shape == [3, 50])
        let loss = try tape.linearCrossEntropy(Variable(hidden), weight: Variable(weight), targets: targets)
        let mean = -each.floatArray().reduce(0) { $0 + Double($1) } / Double(rows)
        #expect(abs(mean - Double(loss.value.floats[0])) < 1e-6 * mean)
        let half = cpu.convert(weight, to: .bfloat16)
        let narrow = try tape.logProbabilities(hidden: hidden, weight: half, targets: targets)
        let wide = try tape.logProbabilities(hidden: hidden, weight: cpu.convert(half, to: .float32), targets: targets)
        #expect(narrow.floatArray() == wide.floatArray())
    }

    /// The full logits would take 64 MB; a block and the weight's gradient take a fraction.
    @Test func fullLogitsNeverExist() throws {
        let cpu = CPUBackend(threads: 2)
        let (rows, width, vocabulary) = (4096, 8, 4096)
        let hidden = Variable(cpu.zeros([rows, width]), requiresGradient: true)
        let weight = Parameter("head", cpu.zeros([vocabulary, width]), decays: true)
        let targets = cpu.zeros([rows], .int32)
        let tape = Tape(.cpu(cpu))
        let loss = try tape.linearCrossEntropy(hidden, weight: weight, targets: targets)
        try tape.backward([loss], gradients: [cpu.tensor([1] as [Float], [1])])
        #expect(abs(loss.value.floats[0] - logf(Float(vocabulary))) < 1e-5)
        #expect(cpu.memory.peakBytes < 12 << 20)
    }

    @Test func everythingIgnoredCostsNothing() throws {
        let logits = Variable(cpu.zeros([3, 5]), requiresGradient: true)
        let tape = Tape(.cpu(cpu))
        let loss = try tape.crossEntropy(logits, targets: cpu.tensor([-100, -100, -100] as [Int32], [3]))
        try tape.backward([loss], gradients: [cpu.tensor([1] as [Float], [1])])
        #expect(loss.value.floats[0] == 0)
        #expect(try #require(logits.gradient).floatArray().allSatisfy { $0 == 0 })
    }

    @Test func refusesTargetsOutsideOfTheVocabulary() {
        #expect(throws: ShapeError("cross_entropy", "target 1 is 5, expected 0..<5 or -100")) {
            try Tape(.cpu(cpu)).crossEntropy(
                Variable(cpu.zeros([2, 5])), targets: cpu.tensor([0, 5] as [Int32], [2]))
        }
        #expect(throws: ShapeError.self) {
            try Tape(.cpu(cpu)).linearCrossEntropy(
                Variable(cpu.zeros([2, 4])), weight: Variable(cpu.zeros([5, 3])),
                targets: cpu.tensor([0, 1] as [Int32], [2]))
        }
    }
}
