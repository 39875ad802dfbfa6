/// Metrics as TensorBoard events.
import Foundation
import GDNFormats

/// Hands records to an event file.
final class EventSink {
    private let file: EventFile

    /// Opens an event file in the run's folder.
    init(folder: String) throws {
        file = try EventFile(folder: folder, time: Date().timeIntervalSince1970)
    }

    /// Writes a record.
    func write(_ record: MetricsRecord) throws {
        let time = Date().timeIntervalSince1970
        switch record {
        case .step(let step):
            let values: [(String, Double?)] = [
                ("train/loss", step.loss), ("train/smoothed_loss", step.smoothedLoss),
                ("train/gradient_norm", step.gradientNorm), ("train/learning_rate", step.learningRate),
                ("train/tokens_per_second", step.tokensPerSecond), ("train/peak_share", step.peakShare),
                ("train/memory", Double(step.memory)), ("train/tokens", Double(step.tokens)),
                ("train/waiting_share", step.waitingShare),
            ]
            try file.write(scalars: Self.present(values), step: step.step, time: time)
        case .evaluation(let found):
            let values: [(String, Double?)] = [
                ("evaluation/loss/\(found.length)", found.loss),
                ("evaluation/bits_per_byte/\(found.length)", found.bitsPerByte),
                ("evaluation/accuracy/\(found.length)", found.accuracy),
            ]
            try file.write(scalars: Self.present(values), step: found.step, time: time)
        case .sample(let step, let prompt, let text):
            try file.write(text: "**\(prompt)**\(text)", tag: "sample", step: step, time: time)
        case .resume: break
        }
    }

    private static func present(_ values: [(String, Double?)]) -> [(tag: String, value: Double)] {
        values.compactMap { tag, value in value.map { (tag, $0) } }
    }
}
