/// A run's state as the files of a checkpoint folder, and back.
import Foundation
import GDNAutograd
import GDNFormats
import GDNOps
import GDNTensor

/// Reads and writes the state of training.
///
/// `model.safetensors` holds the parameters under their names, `optimizer-rank0.safetensors` the moments as
/// `first.NAME` and `second.NAME`, `trainer.json` the rest (`TrainerState`). All tensors are float32, bit for bit.
package struct TrainingCheckpoint {
    /// The model whose parameters are stored.
    package let parameters: [Parameter]
    /// Its optimiser.
    package let optimizer: Optimizer
    /// Where both live.
    package let backend: Backend

    private static let modelFile = "model.safetensors"
    private static let optimizerFile = "optimizer-rank0.safetensors"
    private static let stateFile = "trainer.json"

    /// The checkpointing of a model and its optimiser.
    package init(parameters: [Parameter], optimizer: Optimizer, backend: Backend) {
        self.parameters = parameters
        self.optimizer = optimizer
        self.backend = backend
    }

    /// The files that hold the state.
    package func files(_ state: TrainerState) throws -> [CheckpointFile] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let text = String(decoding: try encoder.encode(state), as: UTF8.self) + "\n"
        return [
            CheckpointFile(Self.modelFile) { sink in
                try encode(parameters.map { ($0.name, $0.value) }, ["format": "pt"], Self.modelFile, sink)
            },
            CheckpointFile(Self.optimizerFile) { sink in
                let first = zip(parameters, optimizer.firstMoments).map { ("first.\($0.name)", $1) }
                let second = zip(parameters, optimizer.secondMoments).map { ("second.\($0.name)", $1) }
                try encode(first + second, [:], Self.optimizerFile, sink)
            },
            CheckpointFile(Self.stateFile, text: text),
        ]
    }

    /// Takes parts of a stored state.
    /// - Parameters:
    ///   - folder: a checkpoint that has been verified
    ///   - parts: what to take; the rest stays as it is in `state`, the model and the optimiser
    /// - Throws: `CheckpointError` when the checkpoint belongs to another model.
    package func restore(_ folder: String, into state: inout TrainerState, parts: Set<StatePart>) throws {
        let stored = try Self.state(folder)
        if parts.contains(.weights) {
            let values = try tensors(folder, Self.modelFile, prefix: "")
            for (parameter, value) in zip(parameters, values) { parameter.replaceValue(value) }
        }
        optimizer.restore(
            first: parts.contains(.firstMoments) ? try tensors(folder, Self.optimizerFile, prefix: "first.") : nil,
            second: parts.contains(.secondMoments) ? try tensors(folder, Self.optimizerFile, prefix: "second.") : nil,
            updates: parts.contains(.updates) ? stored.updates : nil)
        if parts.contains(.updates) { state.updates = stored.updates }
        if parts.contains(.position) {
            (state.step, state.tokens, state.seconds) = (stored.step, stored.tokens, stored.seconds)
        }
        if parts.contains(.data) { state.data = stored.data }
        if parts.contains(.random) { state.random = stored.random }
        if parts.contains(.best) { state.best = stored.best }
        if parts.contains(.smoothed) { state.smoothed = stored.smoothed }
        if parts.contains(.counters) { state.counters = stored.counters }
    }

    /// Reads `trainer.json`.
    package static func state(_ folder: String) throws -> TrainerState {
        guard let data = FileManager.default.contents(atPath: "\(folder)/\(stateFile)") else {
            throw CheckpointError(folder, file: stateFile, "cannot be read; this folder is no training checkpoint")
        }
        do {
            return try JSONDecoder().decode(TrainerState.self, from: data)
        } catch {
            throw CheckpointError(folder, file: stateFile, "was written by another version of gdn: \(error)")
        }
    }

    private func encode(
        _ tensors: [(String, Tensor)], _ metadata: [String: String], _ file: String,
        _ sink: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var items: [String: SafetensorsItem] = [:]
        for (name, tensor) in tensors {
            items[name] =
                tensor.device == .cpu
                ? SafetensorsItem(tensor)
                : SafetensorsItem(floats: try backend.download(tensor), shape: tensor.shape.dims)
        }
        try SafetensorsWriter.encode(items, metadata: metadata, file: file, to: sink)
    }

    /// The tensors of all parameters, under their names with a prefix.
    private func tensors(_ folder: String, _ name: String, prefix: String) throws -> [Tensor] {
        let file = try SafetensorsFile("\(folder)/\(name)")
        let wanted = Set(parameters.map { prefix + $0.name })
        if let stranger = file.names.first(where: { $0.hasPrefix(prefix) && !wanted.contains($0) }) {
            throw CheckpointError(
                folder, file: name,
                "holds \(stranger), which this model does not have; resume with the recipe of the run")
        }
        return try parameters.map { parameter in
            let key = prefix + parameter.name
            guard let entry = file[key], entry.shape == parameter.shape.dims, entry.dtype == .F32 else {
                let found = file[key].map { "\($0.dtype.rawValue) \($0.shape)" } ?? "nothing"
                throw CheckpointError(
                    folder, file: name,
                    "tensor \(key): expected F32 \(parameter.shape), found \(found); resume with the recipe of the run")
            }
            return try backend.upload(file.floats(of: key), parameter.shape)
        }
    }
}
