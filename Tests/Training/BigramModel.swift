import GDNTestSupport
import Foundation
import GDNAutograd
import GDNCPUBackend
import GDNData
import GDNOps
import GDNTensor
import GDNTokenizers
import GDNTraining

/// A model of a few lines, for tests of what surrounds models: logits_w = Σ_d E[t, d] n_d H[w, d].
final class BigramModel: TrainableModel {
    static let (words, width) = (256, 8)
    let backend: Backend
    let parameters: [Parameter]
    let trainingFLOPsPerToken = 6.0 * 256 * 8
    /// Batches whose first token is one of these give a loss that is no number.
    var poison: Set<Int32> = []
    /// Called ahead of every forward pass.
    var willRun: () -> Void = {}

    init(seed: UInt64) throws {
        let cpu = CPUBackend(threads: 2)
        backend = .cpu(cpu)
        var random = Random(seed: seed)
        let table = (0..<Self.words * Self.width).map { _ in Float(0.3 * random.normal()) }
        let head = (0..<Self.words * Self.width).map { _ in Float(0.3 * random.normal()) }
        parameters = [
            Parameter("embeddings.weight", cpu.tensor(table, [Self.words, Self.width]), decays: true),
            Parameter("norm.weight", cpu.tensor([Float](repeating: 1, count: Self.width), [Self.width]), decays: false),
            Parameter("head.weight", cpu.tensor(head, [Self.words, Self.width]), decays: true),
        ]
    }

    func loss(_ tape: Tape, tokens: Tensor, targets: Tensor, sequences: Tensor?, recompute: Bool) throws -> Variable {
        willRun()
        let (words, width) = (Self.words, Self.width)
        let (table, norm, head) = (parameters[0].value, parameters[1].value, parameters[2].value)
        let pairs = zip(tokens.int32Array(), targets.int32Array()).filter { $1 >= 0 }.map { (Int($0), Int($1)) }
        var gradients = [table, norm, head].map { [Float](repeating: 0, count: $0.count) }
        var total: Float = 0
        for (token, target) in pairs {
            let hidden = (0..<width).map { table.floats[token * width + $0] * norm.floats[$0] }
            var logits = (0..<words).map { word in
                (0..<width).reduce(Float(0)) { $0 + hidden[$1] * head.floats[word * width + $1] }
            }
            let largest = logits.max() ?? 0
            let sum = logits.reduce(Float(0)) { $0 + expf($1 - largest) }
            total += largest + logf(sum) - logits[target]
            logits = logits.map { expf($0 - largest) / sum }
            logits[target] -= 1
            for d in 0..<width {
                var upstream: Float = 0
                for word in 0..<words {
                    gradients[2][word * width + d] += logits[word] * hidden[d]
                    upstream += logits[word] * head.floats[word * width + d]
                }
                gradients[0][token * width + d] += upstream * norm.floats[d]
                gradients[1][d] += upstream * table.floats[token * width + d]
            }
        }
        let count = Float(pairs.count)
        let bad = poison.contains(tokens.int32s[0])
        let result = try backend.upload([bad ? .nan : total / count], [1])
        let kept = gradients
        return tape.record(parameters, [result]) { upstream in
            let scale = (upstream[0]?.floats[0] ?? 0) / count
            return try zip(kept, self.parameters).map { gradient, parameter in
                try self.backend.upload(gradient.map { $0 * scale }, parameter.shape)
            }
        }[0]
    }
}

/// A stream of tokens made from text, and what a training needs beside it.
struct TextFixture {
    let folder: TemporaryFolder
    let data: PreparedData

    init() throws {
        folder = TemporaryFolder()
        var random = Random(seed: 5)
        let words = ["gate", "delta", "rule", "state", "decay", "key", "value", "chunk"]
        let text = (0..<400).map { _ in words[random.index(below: words.count)] }.joined(separator: " ")
        try Data(text.utf8).write(to: URL(fileURLWithPath: folder.path("text.txt")))
        data = try PreparedData.open([folder.path("text.txt")], tokenizer: ByteTokenizer(), in: folder.path("tokens"))
    }

    func loader(seed: UInt64 = 3) throws -> PackedLoader {
        try PackedLoader(data.training, PackedLoader.Settings(rows: 2, length: 32, seed: seed))
    }
}
