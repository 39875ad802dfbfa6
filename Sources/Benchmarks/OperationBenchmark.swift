import GDNAutograd
import GDNOps
import GDNTensor

/// Speed of one operation's case, forward and backward; refused when the case fails its check.
package struct OperationBenchmark {
    /// What was measured.
    package struct Result: Sendable, Codable {
        package var identifier: String
        package var forward: Timing
        /// Backward alone.
        package var backward: Timing
        /// FLOPs of the forward over its median time.
        package var gigaflops: Double
        /// Least bytes of the forward over its median time.
        package var gigabytesPerSecond: Double
    }

    /// Checks a case on `checked`, then times it on `timed`.
    /// - Returns: nil when the check fails
    package static func run(_ operationCase: OperationCase, checked: Backend, timed: Backend, runs: Int) throws
        -> Result?
    {
        guard try OperationChecker(checked).check(operationCase).allSatisfy(\.passed) else { return nil }
        let arrays = OperationChecker(timed).drawInputs(operationCase)
        let tensors = try zip(operationCase.inputs, arrays).map { try $0.tensor($1, on: timed) }
        func variables() -> [Variable] {
            zip(tensors, operationCase.inputs).map { Variable($0, requiresGradient: $1.differentiable) }
        }
        let silent = Tape(timed, recording: false)
        let forward = try Timing.measure(runs: runs) { _ = try operationCase.run(silent, variables()) }
        var seconds: [Double] = []
        for _ in 0..<runs + 1 {
            let tape = Tape(timed)
            let outputs = try operationCase.run(tape, variables())
            let upstream = try outputs.map { output in
                try timed.upload(
                    Array(repeating: 0.5, count: output.shape.count), output.shape, output.value.dtype)
            }
            let start = ContinuousClock.now
            try tape.backward(outputs, gradients: upstream)
            seconds.append((ContinuousClock.now - start) / .seconds(1))
        }
        let backward = Timing(sorted: seconds.dropFirst().sorted())
        return Result(
            identifier: operationCase.identifier, forward: forward, backward: backward,
            gigaflops: operationCase.flops / forward.median * 1e-9,
            gigabytesPerSecond: operationCase.bytes / forward.median * 1e-9)
    }
}
