import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct LinearTests {
    let cpu = CPUBackend(threads: 2, poison: true)

    private func draw(_ shape: Shape, seed: UInt64) -> Tensor {
        var random = Random(seed: seed)
        return cpu.tensor((0..<shape.count).map { _ in Float(random.normal()) }, shape)
    }

    /// A parameter's buffer gathers over two backward passes what a plain variable receives in one pass each.
    @Test func parameterGradientsGather() throws {
        let (x, w, dy) = (draw([2, 5, 7], seed: 1), draw([3, 7], seed: 2), draw([2, 5, 3], seed: 3))
        let plain = Variable(w, requiresGradient: true)
        let parameter = Parameter("w", w, decays: true)
        for weight in [plain, parameter, parameter] {
            let tape = Tape(.cpu(cpu))
            let y = try tape.linear(Variable(x), weight)
            #expect(y.shape == [2, 5, 3])
            try tape.backward([y], gradients: [dy])
        }
        let once = try #require(plain.gradient).floatArray()
        let gathered = try #require(parameter.gatheredGradient).floatArray()
        #expect(zip(once, gathered).allSatisfy { abs(2 * $0 - $1) <= 1e-5 * max(1, abs($1)) })
        #expect(parameter.gradient == nil)
    }

    @Test func outputsWithoutGradientAreSkipped() throws {
        let x = Variable(draw([4, 6], seed: 1), requiresGradient: true)
        let (a, b) = (
            Parameter("a", draw([3, 6], seed: 2), decays: true), Parameter("b", draw([5, 6], seed: 3), decays: true)
        )
        let tape = Tape(.cpu(cpu))
        let outputs = try tape.linear(x, [a, b])
        try tape.backward([outputs[1]], gradients: [draw([4, 5], seed: 4)])
        #expect(a.gatheredGradient == nil)
        #expect(b.gatheredGradient != nil)
        #expect(try #require(x.gradient).floatArray().allSatisfy { $0.isFinite })
    }

    /// Inference with bfloat16 weights equals inference with the same weights widened.
    @Test(arguments: [1, 8, 65]) func bfloat16WeightsForInference(rows: Int) throws {
        let x = Variable(draw([rows, 40], seed: 1))
        let half = cpu.convert(draw([70, 40], seed: 2), to: .bfloat16)
        let tape = Tape(.cpu(cpu), recording: false)
        let narrow = try tape.linear(x, Variable(half)).value
        let wide = try tape.linear(x, Variable(cpu.convert(half, to: .float32))).value
        #expect(narrow.dtype == .float32)
        #expect(narrow.floatArray() == wide.floatArray())
    }

    @Test func refusesWeightOfOtherWidth() {
        #expect(throws: ShapeError("linear", "weight has shape [3, 5], expected [outputs, 4]")) {
            try Tape(.cpu(cpu)).linear(Variable(cpu.zeros([2, 4])), Variable(cpu.zeros([3, 5])))
        }
    }
}
