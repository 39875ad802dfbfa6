import FoundationEssentials
import GDNAutograd
import GDNCPUBackend
import GDNFormats
import GDNModels
import GDNOps
import GDNTensor
import Testing

/// Checkpoints in flash-linear-attention's layout with values from an independent implementation.
@Suite struct GoldenModelTests {
    struct Tokens: Decodable { var input_ids: [[Int32]] }
    struct Greedy: Decodable {
        var prompt_tokens: Int
        var prompt_start: Int?
        var continuation: [[Int32]]
    }

    @Test(arguments: ["fla_gated_deltanet", "fla_gated_deltanet_gva"])
    func matches(_ name: String) throws {
        let folder = fixtures + "/golden/models/\(name)"
        let cpu = CPUBackend(poison: true)
        let model = try ModelFolder.load(folder, backend: .cpu(cpu))
        let expected = try SafetensorsFile(folder + "/expected.safetensors")
        let ids = try decode(Tokens.self, folder + "/tokens.json").input_ids
        let (batch, length) = (ids.count, ids[0].count)

        let inputs = cpu.tensor(ids.flatMap { $0.dropLast() }, [batch, length - 1])
        let targets = cpu.tensor(ids.flatMap { $0.dropFirst() }, [batch, length - 1])
        var none: LanguageModel.State?
        let scores = try model.logProbabilities(tokens: inputs, targets: targets, state: &none).floatArray()
        let wanted = try expected.floats(of: "logprobs")
        #expect(scores.count == wanted.count)
        #expect(zip(scores, wanted).allSatisfy { abs($0 - $1) <= 5e-5 })

        let logits = try model.logits(tokens: cpu.tensor(ids.flatMap { $0 }, [batch, length]), state: &none)
            .floatArray()
        let vocabulary = model.configuration.vocabularySize
        var last: [Float] = []
        for row in 0..<batch {
            let end = (row + 1) * length * vocabulary
            last += logits[end - 16 * vocabulary..<end]
        }
        #expect(zip(last, try expected.floats(of: "logits_last16")).allSatisfy { abs($0 - $1) <= 1e-4 })

        let tape = Tape(model.backend)
        let loss = try model.loss(tape, tokens: inputs, targets: targets)
        #expect(abs(loss.value.floatArray()[0] - (try expected.floats(of: "loss")[0])) <= 1e-5)
        try tape.backward([loss], gradients: [cpu.tensor([Float(1)], [1])])
        var norms: [String: Double] = [:]
        for parameter in model.parameters {
            let squares = try expected.floats(of: "grad.\(parameter.name)").map { Double($0) * Double($0) }
            norms[parameter.name] = squares.reduce(0, +).squareRoot()
        }
        let largest = try #require(norms.values.max())
        for parameter in model.parameters {
            let gradient = try #require(parameter.gatheredGradient).floatArray()
            let reference = try expected.floats(of: "grad.\(parameter.name)").map(Double.init)
            let tolerance = (norms[parameter.name] ?? 0) < 0.01 * largest ? 1e-3 : 1e-4
            let error = relativeError(gradient, reference)
            #expect(error <= tolerance, "\(parameter.name): \(error)")
        }
    }

    @Test(arguments: ["fla_gated_deltanet", "fla_gated_deltanet_gva"])
    func continuesGreedily(_ name: String) throws {
        let folder = fixtures + "/golden/models/\(name)"
        let cpu = CPUBackend()
        let model = try ModelFolder.load(folder, backend: .cpu(cpu))
        let ids = try decode(Tokens.self, folder + "/tokens.json").input_ids
        let greedy = try decode(Greedy.self, folder + "/greedy.json")
        let start = greedy.prompt_start ?? 0
        for (row, continuation) in zip(ids, greedy.continuation) {
            var state: LanguageModel.State? = try model.emptyState()
            var next = Array(row[start..<start + greedy.prompt_tokens])
            let produced: [Int32] = try continuation.map { _ in
                let logits = try model.nextTokenLogits(tokens: cpu.tensor(next, [1, next.count]), state: &state)
                let values = logits.floatArray()
                next = [Int32(try #require(values.indices.max { values[$0] < values[$1] }))]
                return next[0]
            }
            #expect(produced == continuation)
        }
    }

    private var fixtures: String {
        String(#filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/"))
            + "/Fixtures"
    }

    private func decode<Value: Decodable>(_ type: Value.Type, _ path: String) throws -> Value {
        try JSONDecoder().decode(type, from: try #require(FileManager.default.contents(atPath: path)))
    }
}
