import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct ActivationTests {
    let cpu = CPUBackend(poison: true)

    /// The fixture is silu(gate) · up: with dy = dout · up the activation's gradient is the fixture's.
    @Test func goldenSiLU() throws {
        let golden = try Golden("ops/swiglu_pointwise")
        let shape = try golden.shape("in.gate")
        let up = try golden.floats("in.up")
        let tape = Tape(.cpu(cpu))
        let x = Variable(cpu.tensor(try golden.floats("in.gate"), shape), requiresGradient: true)
        let y = try tape.activation(x, .silu)
        let product = zip(y.value.floatArray(), up).map { $0 * $1 }
        #expect(relativeError(product, try golden.floats("out.y")) <= 2e-6)
        let upstream = zip(try golden.floats("dout.y"), up).map { $0 * $1 }
        try tape.backward([y], gradients: [cpu.tensor(upstream, shape)])
        let gradient = try #require(x.gradient).floatArray()
        #expect(relativeError(gradient, try golden.floats("grad.gate")) <= 2e-6)
    }

    /// At zero, where relu and 1 + elu have their corner, and far out on both sides, where nothing may overflow: within
    /// a rounding of the largest value. (Far below zero σ ends at 2⁻¹²⁶, not at 0.)
    @Test(arguments: [
        (Activation.silu, [0, -0, 1e4, -1e4, 1e30, -1e30], [0, 0, 1e4, 0, 1e30, 0], [0.5, 0.5, 1, 0, 1, 0]),
        (.relu, [0, -1, 1, 1e30, -1e30], [0, 0, 1, 1e30, 0], [0, 0, 1, 1, 0]),
        (.onePlusELU, [0, 1, -1e4, 1e30, -1e30], [1, 2, 0, 1e30, 0], [1, 1, 0, 1, 0]),
    ])
    func valuesAtZeroAndFarOut(_ activation: Activation, _ inputs: [Float], _ values: [Float], _ slopes: [Float]) throws
    {
        let tape = Tape(.cpu(cpu))
        let x = Variable(cpu.tensor(inputs, [inputs.count]), requiresGradient: true)
        let y = try tape.activation(x, activation)
        #expect(isNear(y.value.floatArray(), values))
        try tape.backward([y], gradients: [cpu.tensor([Float](repeating: 1, count: inputs.count), [inputs.count])])
        #expect(isNear(try #require(x.gradient).floatArray(), slopes))
    }

    private func isNear(_ actual: [Float], _ expected: [Float]) -> Bool {
        actual.count == expected.count && zip(actual, expected).allSatisfy { abs($0 - $1) <= 2e-7 * max(1, abs($1)) }
    }

    /// No activation costs nothing: the variable itself comes back.
    @Test func noneIsTheVariableItself() throws {
        let x = Variable(cpu.tensor([-1.5, 2], [2]), requiresGradient: true)
        #expect(try Tape(.cpu(cpu)).activation(x, .none) === x)
    }

    /// The same bits on one thread and on several, at a length that no piece divides.
    @Test(arguments: [Activation.silu, .relu, .onePlusELU])
    func threadsDoNotChangeBits(_ activation: Activation) throws {
        func bits(_ threads: Int) throws -> [[UInt32]] {
            let cpu = CPUBackend(threads: threads)
            var random = Random(seed: 3)
            let count = 50_001
            let x = Variable(
                cpu.tensor((0..<count).map { _ in Float(3 * random.normal()) }, [count]), requiresGradient: true)
            let tape = Tape(.cpu(cpu))
            let y = try tape.activation(x, activation)
            try tape.backward([y], gradients: [x.value])
            return [y.value, try #require(x.gradient)].map { $0.floatArray().map(\.bitPattern) }
        }
        let one = try bits(1)
        #expect(try bits(2) == one)
        #expect(try bits(5) == one)
    }
}
