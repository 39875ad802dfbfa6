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

    /// A case that cannot be run is reported as such, in its place, and the others are checked.
    @Test func casesAreReportedInOrder() throws {
        var cases = Array(OperationCatalog.cases.filter { $0.operation == "rms_norm" }.prefix(5))
        cases[1].run = { _, _ in throw BackendError("no kernel") }
        let right = cases[3].run
        cases[3].run = { tape, inputs in
            let output = try right(tape, inputs)[0]
            output.value.floats[0] = .nan
            return [output]
        }
        let reported = Guarded<[CaseResult]>([])
        let summary = try checker.check(cases) { result in reported.withLock { $0.append(result) } }
        let results = reported.withLock { $0 }
        #expect(results.map(\.identifier) == cases.map(\.identifier))
        #expect(results.map(\.passed) == [true, false, true, false, true])
        #expect(results[1].error as? BackendError == BackendError("no kernel"))
        #expect(results[1].rows.isEmpty)
        let failed = results.flatMap(\.rows).count { !$0.passed }
        let passed = results.flatMap(\.rows).count - failed
        #expect(failed > 0)
        #expect(
            summary
                == CheckSummary(
                    passedCases: 3, failedCases: 2, passedComparisons: passed, failedComparisons: failed))
    }

    /// Who is told the results can end the check.
    @Test func reportCanEndTheCheck() {
        let cases = OperationCatalog.cases.filter { $0.operation == "rms_norm" }
        #expect(throws: BackendError("enough")) {
            _ = try checker.check(cases) { _ in throw BackendError("enough") }
        }
    }
}
