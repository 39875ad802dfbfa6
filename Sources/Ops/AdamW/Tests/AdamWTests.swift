import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct AdamWTests {
    let cpu = CPUBackend(poison: true)

    @Test func golden() throws {
        let golden = try Golden("ops/adamw_five_steps")
        let names = ["w", "b"]
        let values = try names.map { cpu.tensor(try golden.floats("in.\($0)"), try golden.shape("in.\($0)")) }
        let first = values.map { cpu.zeros($0.shape) }
        let second = values.map { cpu.zeros($0.shape) }
        for step in 1...5 {
            let slots = try names.enumerated().map { index, name in
                AdamWSlot(
                    value: values[index],
                    gradient: cpu.tensor(try golden.floats("in.grad\(step).\(name)"), values[index].shape),
                    firstMoment: first[index], secondMoment: second[index], decays: true)
            }
            try adamWStep(
                slots: slots, on: .cpu(cpu), learningRate: 0.01, step: step,
                configuration: AdamWConfiguration(beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1))
            for (index, name) in names.enumerated() {
                let error = relativeError(values[index].floatArray(), try golden.floats("out.step\(step).\(name)"))
                #expect(error < 2e-6, "step \(step), \(name): \(error)")
            }
        }
        for (index, name) in names.enumerated() {
            #expect(relativeError(first[index].floatArray(), try golden.floats("out.exp_avg.\(name)")) < 2e-6)
            #expect(relativeError(second[index].floatArray(), try golden.floats("out.exp_avg_sq.\(name)")) < 2e-6)
        }
    }

    /// Many tensors, some larger than a block, get what each gets alone; and decay only where it applies.
    @Test func manySlotsEqualOneByOne() throws {
        var random = Random(seed: 3)
        let counts = [1, 32_768, 32_769, 70_000, 5]
        func draw(_ count: Int) -> [Float] { (0..<count).map { _ in Float(random.normal()) } }
        let start = counts.map { (value: draw($0), gradient: draw($0)) }
        func slots() -> [AdamWSlot] {
            counts.indices.map { index in
                let shape: Shape = [counts[index]]
                return AdamWSlot(
                    value: cpu.tensor(start[index].value, shape), gradient: cpu.tensor(start[index].gradient, shape),
                    firstMoment: cpu.zeros(shape), secondMoment: cpu.zeros(shape), decays: index % 2 == 0)
            }
        }
        let (together, apart) = (slots(), slots())
        try adamWStep(slots: together, on: .cpu(cpu), learningRate: 0.1, step: 1)
        for slot in apart {
            try adamWStep(slots: [slot], on: .cpu(CPUBackend(threads: 1)), learningRate: 0.1, step: 1)
        }
        for (one, other) in zip(together, apart) {
            #expect(one.value.floatArray() == other.value.floatArray())
            #expect(one.secondMoment.floatArray() == other.secondMoment.floatArray())
        }
    }

    @Test func parameterWithoutGradientHasNoSlot() throws {
        let parameter = Parameter("w", cpu.zeros([3]), decays: true)
        let (m, v) = (cpu.zeros([3]), cpu.zeros([3]))
        #expect(AdamWSlot(parameter, firstMoment: m, secondMoment: v) == nil)
        try parameter.accumulate(on: .cpu(cpu)) { buffer, _ in buffer.floats.update(repeating: 1, count: 3) }
        let slot = try #require(AdamWSlot(parameter, firstMoment: m, secondMoment: v))
        #expect(slot.decays)
        #expect(slot.gradient.floatArray() == [1, 1, 1])
    }

    @Test func refusesMisfits() {
        let (three, four) = (cpu.zeros([3]), cpu.zeros([4]))
        let slot = AdamWSlot(value: three, gradient: four, firstMoment: three, secondMoment: three, decays: true)
        #expect(throws: ShapeError("adamw", "gradient of slot 0 has shape [4], expected [3]")) {
            try adamWStep(slots: [slot], on: .cpu(cpu), learningRate: 1, step: 1)
        }
        #expect(throws: ShapeError("adamw", "step is 0, expected 1 or more")) {
            try adamWStep(slots: [], on: .cpu(cpu), learningRate: 1, step: 0)
        }
    }
}
