import GDNAutograd
import GDNCPUBackend
import GDNTensor
import Testing

@Suite struct TransferTests {
    /// Token ids and boundaries once went through singles, which hold whole numbers only up to 2²⁴.
    @Test func wholeNumbersArriveExactly() throws {
        let values: [Int32] = [0, -1, 16_777_217, 2_147_483_647, -2_147_483_648]
        let tensor = try Backend.cpu(CPUBackend(threads: 1)).upload(values, [values.count])
        #expect(tensor.dtype == .int32 && tensor.int32Array() == values)
    }

    @Test func singlesArriveAsTheDtypeAsksFor() throws {
        let backend = Backend.cpu(CPUBackend(threads: 1))
        #expect(try backend.download(backend.upload([0.1, -2], [2])) == [0.1, -2])
        let rounded = try backend.upload([0.1, -2], [2], .bfloat16)
        #expect(rounded.dtype == .bfloat16)
        #expect(try backend.download(rounded) == [BFloat16(0.1).float, -2])
        #expect(throws: BackendError.self) { try backend.upload([1], [1], .int32) }
    }
}

@Suite struct TapeTests {
    let cpu = CPUBackend(threads: 1, poison: true)

    private func scalar(_ value: Float) -> Tensor { cpu.tensor([value], [1]) }

    /// a · b for one-element tensors, recorded with its gradient.
    private func times(_ tape: Tape, _ a: Variable, _ b: Variable) -> Variable {
        let (x, y) = (a.value.floats[0], b.value.floats[0])
        return tape.record([a, b], [scalar(x * y)]) { gradients in
            let g = gradients[0]?.floats[0] ?? 0
            return [scalar(g * y), scalar(g * x)]
        }[0]
    }

    @Test func gradientsOfOneVariableAddUp() throws {
        let tape = Tape(.cpu(cpu))
        let x = Variable(scalar(3), requiresGradient: true)
        let cube = times(tape, times(tape, x, x), x)
        try tape.backward([cube], gradients: [scalar(1)])
        #expect(x.gradient?.floatArray() == [27])
    }

    /// Two variables handed the same gradient tensor: adding to one must not change the other.
    @Test func sharedGradientsAreNotWrittenTo() throws {
        let tape = Tape(.cpu(cpu))
        let a = Variable(scalar(2), requiresGradient: true)
        let b = Variable(scalar(5), requiresGradient: true)
        let twice = times(tape, a, Variable(scalar(10)))
        let sum = tape.record([a, b], [scalar(7)]) { gradients in [gradients[0], gradients[0]] }[0]
        try tape.backward([sum, twice], gradients: [scalar(1), scalar(1)])
        #expect(a.gradient?.floatArray() == [11])
        #expect(b.gradient?.floatArray() == [1])
    }

    @Test func parametersGatherUntilCleared() throws {
        let weight = Parameter("w", scalar(4), decays: true)
        for _ in 0..<2 {
            let tape = Tape(.cpu(cpu))
            let y = times(tape, weight, Variable(scalar(3)))
            try tape.backward([y], gradients: [scalar(1)])
        }
        #expect(weight.gatheredGradient?.floatArray() == [6])
        weight.clearGradient()
        #expect(weight.gatheredGradient == nil)
        let tape = Tape(.cpu(cpu))
        try tape.backward([times(tape, weight, Variable(scalar(3)))], gradients: [scalar(1)])
        #expect(weight.gatheredGradient?.floatArray() == [3])
    }

    @Test func recomputationGivesTheSameGradients() throws {
        let weight = Parameter("w", scalar(4), decays: true)
        let x = Variable(scalar(3), requiresGradient: true)
        let tape = Tape(.cpu(cpu))
        let y = try tape.recompute([x]) { inner, inputs in
            [times(inner, times(inner, inputs[0], inputs[0]), weight)]
        }[0]
        #expect(y.value.floatArray() == [36])
        try tape.backward([y], gradients: [scalar(1)])
        #expect(x.gradient?.floatArray() == [24])
        #expect(weight.gatheredGradient?.floatArray() == [9])
    }

    @Test func inferenceRecordsNothing() throws {
        let tape = Tape(.cpu(cpu), recording: false)
        let x = Variable(scalar(3), requiresGradient: true)
        let y = times(tape, x, x)
        #expect(!y.requiresGradient)
        try tape.backward([y], gradients: [scalar(1)])
        #expect(x.gradient == nil)
    }
}
