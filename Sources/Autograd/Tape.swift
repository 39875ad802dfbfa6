import GDNTensor

/// Records which backward function to call for each operation, and calls them in reverse.
///
/// An operation computes its outputs, then calls `record` with a closure over what its backward needs. The closure is
/// released as soon as it has run, and what it saved with it. With `recording` false nothing is saved: inference.
public final class Tape {
    /// Where operations on this tape run.
    public let backend: Backend
    /// Whether operations record their backward.
    public let recording: Bool

    /// Where the gradient of an input goes.
    private enum Target {
        case parameter(Parameter)
        case slot(GradientSlot)
        case nowhere

        init(_ variable: Variable) {
            if let parameter = variable as? Parameter {
                self = .parameter(parameter)
            } else {
                self = variable.requiresGradient ? .slot(variable.slot) : .nowhere
            }
        }
    }
    private struct Entry {
        let inputs: [Target]
        let outputs: [GradientSlot]
        let backward: ([Tensor?]) throws -> [Tensor?]
    }
    private var entries: [Entry] = []

    /// A tape on a backend.
    public init(_ backend: Backend, recording: Bool = true) {
        self.backend = backend
        self.recording = recording
    }

    /// Whether an operation on these inputs has to save anything for backward.
    package func needsBackward(_ inputs: [Variable]) -> Bool {
        recording && inputs.contains { $0.requiresGradient }
    }

    /// Wraps an operation's results and records its backward.
    /// - Parameters:
    ///   - inputs: what the operation read; the closure's result is aligned with it
    ///   - results: values computed
    ///   - backward: from the gradients of the results (nil = zero) to those of the inputs (nil = none, or already
    ///     added to a parameter's own buffer). Never called when all gradients are nil.
    package func record(
        _ inputs: [Variable], _ results: [Tensor], backward: @escaping ([Tensor?]) throws -> [Tensor?]
    ) -> [Variable] {
        guard needsBackward(inputs) else { return results.map { Variable($0) } }
        let outputs = results.map { Variable($0, requiresGradient: true) }
        entries.append(Entry(inputs: inputs.map { Target($0) }, outputs: outputs.map(\.slot), backward: backward))
        return outputs
    }

    /// Runs all recorded backward functions, last first, starting from `gradients` of `outputs`.
    ///
    /// Gradients of parameters gather in their buffers; those of other leaves in `gradient`.
    public func backward(_ outputs: [Variable], gradients: [Tensor]) throws {
        for (output, gradient) in zip(outputs, gradients) { try add(gradient, to: Target(output)) }
        while let entry = entries.popLast() {
            let gradients = entry.outputs.map { output in
                let gradient = output.gradient
                output.gradient = nil
                return gradient
            }
            if gradients.allSatisfy({ $0 == nil }) { continue }
            let results = try entry.backward(gradients)
            for (input, gradient) in zip(entry.inputs, results) {
                if let gradient { try add(gradient, to: input) }
            }
        }
    }

    /// Adds a contribution to a gradient; the first is kept by reference, a shared one is never written to.
    private func add(_ gradient: Tensor, to target: Target) throws {
        switch target {
        case .nowhere: return
        case .parameter(let parameter):
            try parameter.accumulate(on: backend) { buffer, overwrite in
                if overwrite {
                    try backend.copy(gradient, into: buffer)
                } else {
                    try backend.add(into: buffer, gradient)
                }
            }
        case .slot(let slot):
            guard var present = slot.gradient else {
                slot.gradient = gradient
                return
            }
            slot.gradient = nil
            if isKnownUniquelyReferenced(&present.storage) {
                try backend.add(into: present, gradient)
                slot.gradient = present
            } else {
                slot.gradient = try backend.sum(present, gradient)
            }
        }
    }

    /// Runs `block` without saving anything, and again with recording when its gradient is needed.
    ///
    /// Trades one more forward of the block for the memory of everything the block would save.
    /// Parameters that the block reads receive their gradients as usual; `inputs` are the block's other inputs.
    public func recompute(_ inputs: [Variable], _ block: @escaping (Tape, [Variable]) throws -> [Variable]) throws
        -> [Variable]
    {
        let values = inputs.map(\.value)
        let wanted = inputs.map(\.requiresGradient)
        let results = try block(Tape(backend, recording: false), values.map { Variable($0) })
        guard recording else { return results }
        let outputs = results.map { Variable($0.value, requiresGradient: true) }
        let backend = backend
        entries.append(
            Entry(inputs: inputs.map { Target($0) }, outputs: outputs.map(\.slot)) { gradients in
                let tape = Tape(backend)
                let again = zip(values, wanted).map { Variable($0, requiresGradient: $1) }
                let outputs = try block(tape, again)
                let present = zip(outputs, gradients).filter { $1 != nil }
                try tape.backward(present.map(\.0), gradients: present.compactMap(\.1))
                return again.map(\.gradient)
            })
        return outputs
    }
}
