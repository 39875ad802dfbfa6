import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct SwiGLUTests {
    @Test func golden() throws {
        try checkGolden("ops/swiglu_pointwise") { tape, inputs in
            [("y", try tape.swiGLU(try inputs("gate"), try inputs("up")))]
        }
    }

    @Test func refusesOtherShape() {
        let cpu = CPUBackend()
        #expect(throws: ShapeError("swiglu", "up has shape [3, 2], expected [2, 3]")) {
            try Tape(.cpu(cpu)).swiGLU(Variable(cpu.zeros([2, 3])), Variable(cpu.zeros([3, 2])))
        }
    }
}
