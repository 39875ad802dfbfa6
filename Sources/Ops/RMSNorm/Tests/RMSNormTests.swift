import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct RMSNormTests {
    @Test func refusesWeightOfOtherWidth() {
        let cpu = CPUBackend()
        let tape = Tape(.cpu(cpu))
        #expect(throws: ShapeError("rms_norm", "weight has shape [5], expected [4]")) {
            try tape.rmsNorm(Variable(cpu.zeros([2, 4])), weight: Variable(cpu.zeros([5])), eps: 1e-6)
        }
    }
}
