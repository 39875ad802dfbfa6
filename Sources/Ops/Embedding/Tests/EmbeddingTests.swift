import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct EmbeddingTests {
    @Test func refusesTokensOutsideOfTheTable() {
        let cpu = CPUBackend(threads: 1)
        let table = Variable(cpu.zeros([5, 2]))
        for wrong in [-1, 5] as [Int32] {
            #expect(
                throws: ShapeError("embedding", "token 2 is \(wrong), expected 0..<5, the rows of the table")
            ) {
                try Tape(.cpu(cpu)).embedding(cpu.tensor([0, 4, wrong], [3]), table: table)
            }
        }
    }

    /// Head and embedding share one parameter: its gradient is the sum of both shares.
    @Test func tiedWeightsGatherBothGradients() throws {
        let cpu = CPUBackend(threads: 2, poison: true)
        var random = Random(seed: 9)
        let weight = cpu.tensor((0..<60).map { _ in Float(random.normal()) }, [10, 6])
        let tokens = cpu.tensor([1, 3, 3, 9, 0] as [Int32], [1, 5])
        let targets = cpu.tensor([3, 3, 9, 0, 2] as [Int32], [1, 5])
        func gradients(_ table: Variable, _ head: Variable) throws {
            let tape = Tape(.cpu(cpu))
            let hidden = try tape.embedding(tokens, table: table)
            let loss = try tape.linearCrossEntropy(hidden, weight: head, targets: targets)
            try tape.backward([loss], gradients: [cpu.tensor([1] as [Float], [1])])
        }
        let tied = Parameter("tied", weight, decays: true)
        try gradients(tied, tied)
        let (table, head) = (Variable(weight, requiresGradient: true), Variable(weight, requiresGradient: true))
        try gradients(table, head)
        let (a, b) = (try #require(table.gradient).floatArray(), try #require(head.gradient).floatArray())
        let sum = try #require(tied.gatheredGradient).floatArray()
        #expect(zip(zip(a, b), sum).allSatisfy { abs($0.0 + $0.1 - $1) < 1e-6 })
    }
}
