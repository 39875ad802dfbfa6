import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct RMSNormTests {
    @Test(arguments: [("plain", Float(1e-6)), ("eps_matters", 1e-5), ("zero_centred", 1e-6)])
    func golden(_ name: String, eps: Float) throws {
        try checkGolden("ops/rmsnorm_\(name)") { tape, inputs in
            let y = try tape.rmsNorm(
                try inputs("x"), weight: try inputs("w"), eps: eps, zeroCentred: name == "zero_centred")
            return [("y", y)]
        }
    }

    /// The fused form agrees with addition followed by the norm to the last bit, gradients included.
    @Test func fusedResidualEqualsTwoSteps() throws {
        let cpu = CPUBackend()
        var random = Random(seed: 1)
        func draw(_ shape: Shape) -> Tensor {
            cpu.tensor((0..<shape.count).map { _ in Float(random.normal()) }, shape)
        }
        let (x, residual, weight) = (draw([3, 7, 33]), draw([3, 7, 33]), draw([33]))
        let (dSum, dNormed) = (draw([3, 7, 33]), draw([3, 7, 33]))
        let sum = try Backend.cpu(cpu).sum(x, residual)

        let tape = Tape(.cpu(cpu))
        let (a, b) = (Variable(x, requiresGradient: true), Variable(residual, requiresGradient: true))
        let fused = try tape.addRMSNorm(a, b, weight: Variable(weight), eps: 1e-6)
        let plain = Variable(sum, requiresGradient: true)
        let normed = try tape.rmsNorm(plain, weight: Variable(weight), eps: 1e-6)
        #expect(fused.sum.value.floatArray() == sum.floatArray())
        #expect(fused.normed.value.floatArray() == normed.value.floatArray())

        try tape.backward([fused.sum, fused.normed, normed], gradients: [dSum, dNormed, dNormed])
        let through = try #require(plain.gradient)
        let expected = try Backend.cpu(cpu).sum(through, dSum).floatArray()
        #expect(a.gradient?.floatArray() == b.gradient?.floatArray())
        #expect(relativeError(try #require(a.gradient).floatArray(), expected) < 1e-7)
    }

    /// Only the stream is used further on: its gradient passes through, the weight gets none.
    @Test func gradientOfTheSumAlone() throws {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        let x = Variable(cpu.tensor([1, 2] as [Float], [1, 2]), requiresGradient: true)
        let residual = Variable(cpu.tensor([3, 4] as [Float], [1, 2]), requiresGradient: true)
        let weight = Variable(cpu.tensor([1, 1] as [Float], [2]), requiresGradient: true)
        let (sum, _) = try tape.addRMSNorm(x, residual, weight: weight, eps: 1e-6)
        try tape.backward([sum], gradients: [cpu.tensor([5, 6] as [Float], [1, 2])])
        #expect(x.gradient?.floatArray() == [5, 6])
        #expect(residual.gradient?.floatArray() == [5, 6])
        #expect(weight.gradient == nil)
    }

    @Test func refusesMisfits() {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        let x = Variable(cpu.zeros([2, 4]))
        #expect(throws: ShapeError("rms_norm", "weight has shape [5], expected [4]")) {
            try tape.rmsNorm(x, weight: Variable(cpu.zeros([5])), eps: 1e-6)
        }
        #expect(throws: ShapeError("add_rms_norm", "residual has shape [4, 2], expected [2, 4]")) {
            try tape.addRMSNorm(x, Variable(cpu.zeros([4, 2])), weight: Variable(cpu.zeros([4])), eps: 1e-6)
        }
    }
}
