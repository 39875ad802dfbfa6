import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

/// Prints times at training shapes for the READMEs; runs only when asked for:
/// `GDN_MEASURE=1 swift test -c release --filter OperationRates`.
@Suite(.enabled(if: getenv("GDN_MEASURE") != nil), .serialized) struct OperationRates {
    @Test func trainingShapes() throws {
        print("| case | threads | forward ms | backward ms | a copy of the first input, ms |")
        for operationCase in OperationCatalog.cases where operationCase.name.hasPrefix("training") {
            for threads in [1, 2] {
                let times = try measure(operationCase, CPUBackend(threads: threads))
                let cells = times.map { "\((Double($0.components.attoseconds) * 1e-15 * 100).rounded() / 100)" }
                print("| \(operationCase.identifier) | \(threads) | \(cells.joined(separator: " | ")) |")
                #expect(times.allSatisfy { $0 > .zero })
            }
        }
    }

    /// Best of several rounds: forward with recording, backward, copy.
    private func measure(_ operationCase: OperationCase, _ cpu: CPUBackend) throws -> [Duration] {
        let backend = Backend.cpu(cpu)
        let arrays = OperationChecker(backend).drawInputs(operationCase)
        let tensors = try zip(operationCase.inputs, arrays).map { try $0.tensor($1, on: backend) }
        let copy = cpu.zeros(tensors[0].shape)
        var upstream: [Tensor] = []
        var best = [Duration](repeating: .seconds(1), count: 3)
        for _ in 0..<25 {
            let tape = Tape(backend)
            let inputs = zip(tensors, operationCase.inputs).map { Variable($0, requiresGradient: $1.differentiable) }
            var outputs: [Variable] = []
            let clock = ContinuousClock()
            best[0] = min(best[0], try clock.measure { outputs = try operationCase.run(tape, inputs) })
            if upstream.isEmpty { upstream = outputs.map { $0.value } }
            best[1] = min(best[1], try clock.measure { try tape.backward(outputs, gradients: upstream) })
            best[2] = min(best[2], clock.measure { cpu.copy(tensors[0], into: copy) })
        }
        return best
    }
}
