import GDNAutograd
import GDNCPUBackend
import GDNTensor
import Testing

import GDNOps

@Suite struct CheckerTests {
    let checker = OperationChecker(.cpu(CPUBackend(poison: true)))

    @Test(arguments: OperationCatalog.cases.map(\.identifier))
    func caseOnCPU(_ identifier: String) throws {
        let operationCase = try #require(OperationCatalog.cases.first { $0.identifier == identifier })
        for row in try checker.check(operationCase) {
            #expect(row.passed, "\(row.identifier) \(row.tensor): error \(row.error), budget \(row.budget)")
        }
    }

    @Test(arguments: OperationCatalog.cases.filter { $0.bfloat16Budget != nil }.map(\.identifier))
    func caseOnCPUInBFloat16(_ identifier: String) throws {
        let operationCase = try #require(OperationCatalog.cases.first { $0.identifier == identifier })
        let checker = OperationChecker(checker.backend, dtype: .bfloat16)
        for row in try checker.check(operationCase) {
            #expect(row.passed, "\(row.identifier) \(row.tensor): error \(row.error), budget \(row.budget)")
        }
    }

    /// The test of the test: a kernel that is a thousandth off, or leaves one element unwritten, must fail.
    @Test func wrongKernelFails() throws {
        let right = try #require(OperationCatalog.cases.first { $0.identifier == "rms_norm/plain" })
        var scaled = right
        scaled.run = { tape, inputs in
            let output = try right.run(tape, inputs)[0]
            output.value.floats[0] *= 1.001
            return [output]
        }
        #expect(try checker.check(scaled).contains { $0.tensor == "y" && !$0.passed })
        var unwritten = right
        unwritten.run = { tape, inputs in
            let output = try right.run(tape, inputs)[0]
            output.value.floats[7] = .nan
            return [output]
        }
        #expect(try checker.check(unwritten).contains { $0.tensor == "y" && !$0.passed })
    }
    /// A kernel that writes one element too many must fail, though every output is right.
    @Test func writePastTheEndFails() throws {
        let right = try #require(OperationCatalog.cases.first { $0.identifier == "rms_norm/plain" })
        var careless = right
        careless.run = { tape, inputs in
            let output = try right.run(tape, inputs)[0]
            output.value.floats[output.value.count] = 0
            return [output]
        }
        #expect(try checker.check(right).contains { $0.tensor == "guards" && $0.passed })
        #expect(try checker.check(careless).filter { !$0.passed }.map(\.tensor) == ["guards"])
    }
}
