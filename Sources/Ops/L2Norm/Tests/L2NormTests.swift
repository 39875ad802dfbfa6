import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct L2NormTests {
    @Test func golden() throws {
        try checkGolden("ops/l2norm_default") { tape, inputs in
            [("y", try tape.l2Norm(try inputs("x"), eps: 1e-6))]
        }
    }

    @Test(arguments: KeyNormalisation.allCases)
    func keysHaveTheNormTheyClaim(_ kind: KeyNormalisation) throws {
        let cpu = CPUBackend()
        let x: [Float] = [3, -4, 0, 12, 0.5, 0.5, -0.5, 0.5]
        let y = try Tape(.cpu(cpu)).normaliseKeys(Variable(cpu.tensor(x, [2, 4])), kind: kind, eps: 1e-9).value
        let rows = [Array(y.floatArray()[0..<4]), Array(y.floatArray()[4..<8])]
        for row in rows {
            switch kind {
            case .l2: #expect(abs(row.reduce(0) { $0 + $1 * $1 } - 1) < 1e-6)
            case .l1: #expect(abs(row.reduce(0) { $0 + abs($1) } - 1) < 1e-6)
            case .softmax: #expect(abs(row.reduce(0, +) - 1) < 1e-6 && row.allSatisfy { $0 > 0 })
            case .none: #expect(y.floatArray() == x)
            }
        }
    }
}
