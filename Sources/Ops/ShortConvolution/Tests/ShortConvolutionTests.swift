import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct ShortConvolutionTests {
    @Test(arguments: ["default", "bias_state", "one_step", "short", "varlen", "varlen_state"])
    func golden(_ name: String) throws {
        try checkGolden("ops/causal_conv_\(name)") { tape, inputs in
            let (output, finalState) = try tape.shortConvolution(
                try inputs("x"), weight: try inputs("weight"), bias: inputs.optional("bias"),
                activation: name == "varlen_state" ? .none : .silu, initialState: inputs.optional("initial_state"),
                sequences: try inputs.sequences())
            return [("y", output), ("final_state", finalState)]
        }
    }

    /// Token by token with the state carried equals all tokens at once.
    @Test(arguments: [1, 2, 3, 4, 7])
    func decodingEqualsPrefill(_ width: Int) throws {
        let cpu = CPUBackend(poison: true)
        var random = Random(seed: 7)
        func draw(_ shape: Shape) -> Variable {
            Variable(cpu.tensor((0..<shape.count).map { _ in Float(random.normal()) }, shape))
        }
        let (batch, time, channels) = (3, 11, 20)
        let (x, weight, bias) = (draw([batch, time, channels]), draw([channels, 1, width]), draw([channels]))
        let tape = Tape(.cpu(cpu), recording: false)
        let whole = try tape.shortConvolution(x, weight: weight, bias: bias, activation: .silu)
        var state: Variable?
        for t in 0..<time {
            let token = (0..<batch).flatMap { b in
                (0..<channels).map { x.value.floats[(b * time + t) * channels + $0] }
            }
            let (output, next) = try tape.shortConvolution(
                Variable(cpu.tensor(token, [batch, 1, channels])), weight: weight, bias: bias, activation: .silu,
                initialState: state)
            let expected = (0..<batch).flatMap { b in
                (0..<channels).map { whole.output.value.floats[(b * time + t) * channels + $0] }
            }
            #expect(relativeError(output.value.floatArray(), expected) < 3e-7)
            state = next
        }
        #expect(state?.value.floatArray() == whole.finalState.value.floatArray())
    }

    /// A packed batch computes what its sequences compute alone, whatever lies in the neighbours.
    @Test func packedEqualsAlone() throws {
        let cpu = CPUBackend(poison: true)
        var random = Random(seed: 8)
        let channels = 9
        let boundaries: [Int32] = [0, 1, 3, 3, 270, 300]
        let values = (0..<300 * channels).map { _ in Float(random.normal()) }
        let weight = Variable(cpu.tensor((0..<channels * 4).map { _ in Float(random.normal()) }, [channels, 4]))
        let tape = Tape(.cpu(cpu), recording: false)
        let packed = try tape.shortConvolution(
            Variable(cpu.tensor(values, [1, 300, channels])), weight: weight, activation: .silu,
            sequences: cpu.tensor(boundaries, [6]))
        for n in 0..<5 {
            let (from, to) = (Int(boundaries[n]), Int(boundaries[n + 1]))
            let rows = Array(values[from * channels..<to * channels])
            let alone = try tape.shortConvolution(
                Variable(cpu.tensor(rows, [1, to - from, channels])), weight: weight, activation: .silu)
            let got = packed.output.value.reshaped([300, channels]).slice(from..<to).floatArray()
            #expect(relativeError(got, alone.output.value.floatArray()) < 3e-7)
            #expect(packed.finalState.value.slice(n..<n + 1).floatArray() == alone.finalState.value.floatArray())
        }
    }

    /// Outputs and gradients are the same to the last bit for any number of threads.
    @Test func threadsDoNotMatter() throws {
        let name = "short_convolution/packed_state"
        let operationCase = try #require(OperationCatalog.cases.first { $0.identifier == name })
        let results = try [1, 2, 5].map { threads in
            let cpu = CPUBackend(threads: threads)
            let arrays = OperationChecker(.cpu(cpu)).drawInputs(operationCase)
            let inputs = try zip(operationCase.inputs, arrays).map { input, array in
                Variable(try input.tensor(array, on: .cpu(cpu)), requiresGradient: input.differentiable)
            }
            let tape = Tape(.cpu(cpu))
            let outputs = try operationCase.run(tape, inputs)
            try tape.backward(outputs, gradients: outputs.map { $0.value })
            return outputs.map { $0.value.floatArray() } + inputs.compactMap { $0.gradient?.floatArray() }
        }
        #expect(results[0].count == 5)
        #expect(results[1] == results[0])
        #expect(results[2] == results[0])
    }

    @Test func refusesMisfits() {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        let (x, weight) = (Variable(cpu.zeros([2, 5, 6])), Variable(cpu.zeros([6, 4])))
        func convolve(_ x: Variable, _ weight: Variable, state: Shape? = nil, sequences: [Int32]? = nil) throws {
            _ = try tape.shortConvolution(
                x, weight: weight, activation: .silu, initialState: state.map { Variable(cpu.zeros($0)) },
                sequences: sequences.map { cpu.tensor($0, [$0.count]) })
        }
        let name = "short_convolution"
        #expect(throws: ShapeError(name, "x has shape [2, 5], expected [B, T, C]")) {
            try convolve(Variable(cpu.zeros([2, 5])), weight)
        }
        #expect(throws: ShapeError(name, "weight has shape [5, 4], expected [6, W] or [6, 1, W] with W in 1...8")) {
            try convolve(x, Variable(cpu.zeros([5, 4])))
        }
        #expect(throws: ShapeError(name, "weight has shape [6, 9], expected [6, W] or [6, 1, W] with W in 1...8")) {
            try convolve(x, Variable(cpu.zeros([6, 9])))
        }
        #expect(throws: ShapeError(name, "initialState has shape [2, 6, 4], expected [2, 6, 3]")) {
            try convolve(x, weight, state: [2, 6, 4])
        }
        #expect(throws: ShapeError(name, "x has batch 2, expected 1 with packed sequences")) {
            try convolve(x, weight, sequences: [0, 5])
        }
        let one = Variable(cpu.zeros([1, 5, 6]))
        for bad: [Int32] in [[0, 4], [1, 5], [0, 4, 3, 5], [0, 7, 5]] {
            #expect(throws: ShapeError(name, "sequences does not go from 0 to 5 without descending")) {
                try convolve(one, weight, sequences: bad)
            }
        }
    }
}
