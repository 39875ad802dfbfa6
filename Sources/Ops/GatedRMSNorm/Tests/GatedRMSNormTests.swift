import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct GatedRMSNormTests {
    @Test(arguments: [
        ("norm_then_gate", GateActivation.silu, GatedNormOrder.normThenGate),
        ("norm_then_sigmoid", .sigmoid, .normThenGate),
        ("gate_then_norm", .silu, .gateThenNorm),
    ])
    func golden(_ name: String, _ activation: GateActivation, _ order: GatedNormOrder) throws {
        try checkGolden("ops/gated_rmsnorm_\(name)") { tape, inputs in
            let y = try tape.gatedRMSNorm(
                try inputs("x"), gate: try inputs("gate"), weight: try inputs("w"), eps: 1e-5, activation: activation,
                order: order)
            return [("y", y)]
        }
    }

    @Test func refusesMisfits() {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        let (x, weight) = (Variable(cpu.zeros([2, 4])), Variable(cpu.zeros([4])))
        #expect(throws: ShapeError("gated_rms_norm", "gate has shape [2, 5], expected [2, 4]")) {
            try tape.gatedRMSNorm(x, gate: Variable(cpu.zeros([2, 5])), weight: weight, eps: 1e-6)
        }
        #expect(throws: ShapeError("gated_rms_norm", "weight has shape [2, 4], expected [4]")) {
            try tape.gatedRMSNorm(x, gate: x, weight: x, eps: 1e-6)
        }
        #expect(throws: ShapeError("gated_rms_norm", "3 groups do not divide rows of 4")) {
            try tape.gatedRMSNorm(x, gate: x, weight: weight, eps: 1e-6, groups: 3)
        }
    }
}
