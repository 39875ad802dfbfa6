import GDNAutograd
import GDNCUDABackend
import GDNTensor

/// What came of checking one case.
package struct CaseResult: Sendable {
    /// `operation/case`
    package var identifier: String
    /// A row a tensor, and one for each other check.
    package var rows: [CheckRow] = []
    /// Why the operation could not be run, or not to its end; there are no rows then.
    package var error: (any Error)?
    /// Whether it ran and every row is within its budget.
    package var passed: Bool { error == nil && rows.allSatisfy(\.passed) }
}

/// How many cases and comparisons passed.
package struct CheckSummary: Sendable, Equatable {
    package var passedCases = 0
    package var failedCases = 0
    package var passedComparisons = 0
    package var failedComparisons = 0

    /// Nothing counted yet, or these counts.
    package init(
        passedCases: Int = 0, failedCases: Int = 0, passedComparisons: Int = 0, failedComparisons: Int = 0
    ) {
        (self.passedCases, self.failedCases) = (passedCases, failedCases)
        (self.passedComparisons, self.failedComparisons) = (passedComparisons, failedComparisons)
    }

    mutating func add(_ result: CaseResult) {
        (passedCases, failedCases) = result.passed ? (passedCases + 1, failedCases) : (passedCases, failedCases + 1)
        let failed = result.rows.count { !$0.passed }
        failedComparisons += failed
        passedComparisons += result.rows.count - failed
    }
}

extension OperationChecker {
    /// Whether the operation has a form in this element type.
    package func applies(to operationCase: OperationCase) -> Bool {
        dtype != .bfloat16 || operationCase.bfloat16Budget != nil
    }

    /// Checks cases: one at a time on the backend, and several references beside it. On a GPU the kernels of all cases
    /// are compiled on all processors meanwhile, first needed first.
    /// - Parameters:
    ///   - compiling: told once how many modules of kernels are needed (none on the CPU)
    ///   - report: told the result of each case, in the order of the cases, by one thread at a time; what it throws ends
    ///     the check
    package func check(
        _ cases: [OperationCase], compiling: (Int) -> Void = { _ in },
        report: @escaping @Sendable (CaseResult) throws -> Void
    ) throws -> CheckSummary {
        if case .cuda(let cuda) = backend {
            let modules = try cuda.rehearse(.firstNeededFirst) {
                // What throws here does so again in its turn.
                for operationCase in cases { try? goThrough(operationCase) }
            }
            compiling(modules)
        }
        let turn = Guarded(())
        let results = Guarded((summary: CheckSummary(), reported: 0, waiting: [Int: CaseResult]()))
        try concurrently(cases.count, threads: threads) { index in
            let result = result(cases[index], turn)
            try results.withLock { results in
                results.waiting[index] = result
                while let next = results.waiting.removeValue(forKey: results.reported) {
                    results.reported += 1
                    results.summary.add(next)
                    try report(next)
                }
            }
        }
        return results.withLock { $0.summary }
    }

    private func result(_ operationCase: OperationCase, _ turn: Guarded<Void>) -> CaseResult {
        var result = CaseResult(identifier: operationCase.identifier)
        do {
            let inputs = drawInputs(operationCase)
            let measured = try turn.withLock { _ in try measure(operationCase, inputs) }
            result.rows = compare(operationCase, inputs, measured)
        } catch {
            result.error = error
        }
        return result
    }
}
