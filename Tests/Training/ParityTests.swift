import Foundation
import GDNAutograd
import GDNCPUBackend
import GDNData
import GDNFormats
import GDNModels
import GDNOps
import GDNTensor
import GDNTraining
import Testing

/// Twenty steps that were computed elsewhere, in double precision and by flash-linear-attention's own layers:
/// the same start, the same tokens, the same optimiser must give the same losses, norms and final weights.
@Suite struct ParityTests {
    private struct Log: Decodable {
        let loss: [Double]
        let grad_norm: [Double]
        let lr: Double
        let betas: [Double]
        let eps: Double
        let weight_decay: Double
        let clip: Double
        let decayed: [String]
    }

    private static let golden: String = {
        let parts = #filePath.split(separator: "/")
        let root = parts[..<(parts.lastIndex(of: "Training") ?? 0)]
        return "/" + root.joined(separator: "/") + "/Fixtures/golden"
    }()

    private func batches() throws -> [Batch] {
        let tokens = try SafetensorsFile(Self.golden + "/train/tokens.safetensors").integers(of: "tokens")
        return (0..<20).map { step in
            let rows = (0..<2).map { row in Array(tokens[(step * 2 + row) * 65..<(step * 2 + row + 1) * 65]) }
            return Batch(
                rows: 2, length: 64, tokens: rows.flatMap { $0.dropLast() }, targets: rows.flatMap { $0.dropFirst() })
        }
    }

    @Test(arguments: [false, true])
    func twentyStepsFollowTheReference(recompute: Bool) throws {
        let log = try JSONDecoder().decode(
            Log.self, from: Data(contentsOf: URL(fileURLWithPath: Self.golden + "/train/fla_gated_deltanet/log.json")))
        let model = try ModelFolder.load(
            Self.golden + "/models/fla_gated_deltanet", backend: .cpu(CPUBackend(threads: 2)))
        #expect(Set(model.parameters.filter(\.decays).map(\.name)) == Set(log.decayed))
        let optimizer = try Optimizer(
            model.parameters, on: model.backend,
            configuration: AdamWConfiguration(
                beta1: log.betas[0], beta2: log.betas[1], eps: log.eps, weightDecay: log.weight_decay), clip: log.clip)
        let step = TrainingStep(model: model, optimizer: optimizer, recompute: recompute)
        for (index, batch) in try batches().enumerated() {
            let result = try step.run([batch], learningRate: log.lr)
            let bound = index == 0 ? 2e-5 : index < 10 ? 2e-4 : 2e-3
            #expect(abs(result.loss - log.loss[index]) <= bound, "loss of step \(index)")
            #expect(
                abs(result.gradientNorm / log.grad_norm[index] - 1) <= 1e-3, "gradient norm of step \(index)")
        }
        let final = try SafetensorsFile(Self.golden + "/train/fla_gated_deltanet/final.safetensors")
        #expect(Set(final.names) == Set(model.parameters.map(\.name)))
        for parameter in model.parameters {
            let expected = try final.floats(of: parameter.name)
            let found = parameter.value.floatArray()
            var (error, scale, largest) = (0.0, 0.0, 0.0)
            for (a, b) in zip(found, expected) {
                let difference = Double(a) - Double(b)
                error += difference * difference
                scale += Double(b) * Double(b)
                largest = max(largest, abs(difference))
            }
            #expect((error / scale).squareRoot() <= 1e-3, "\(parameter.name)")
            #expect(largest <= 5e-4, "\(parameter.name)")
        }
    }
}
