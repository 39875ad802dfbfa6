import GDNAutograd
import GDNOps
import GDNTensor

/// Makes the parameters of a model, in order, and remembers them.
struct ParameterStore {
    let backend: Backend
    let initialiser: Initialiser
    private(set) var parameters: [Parameter] = []

    init(backend: Backend, initialiser: Initialiser) {
        self.backend = backend
        self.initialiser = initialiser
    }

    /// A matrix [out, in].
    mutating func matrix(_ name: String, _ out: Int, _ input: Int, residual: Bool = false) throws -> Parameter {
        let values = initialiser.matrix(name, fanIn: input, count: out * input, residual: residual)
        return try add(name, values, [out, input], decays: true)
    }

    /// An embedding table [tokens, width].
    mutating func embedding(_ name: String, _ tokens: Int, _ width: Int) throws -> Parameter {
        try add(name, initialiser.embedding(name, count: tokens * width), [tokens, width], decays: true)
    }

    /// Convolution filters [channels, 1, width].
    mutating func convolution(_ name: String, _ channels: Int, width: Int) throws -> Parameter {
        let values = initialiser.convolution(name, width: width, count: channels * width)
        return try add(name, values, [channels, 1, width], decays: false)
    }

    /// A norm's weight, ones.
    mutating func norm(_ name: String, _ width: Int) throws -> Parameter {
        try add(name, Array(repeating: 1, count: width), [width], decays: false)
    }

    /// `A_log` of the gate.
    mutating func logRate(_ name: String, _ heads: Int) throws -> Parameter {
        try add(name, initialiser.logRate(name, count: heads), [heads], decays: false)
    }

    /// `dt_bias` of the gate.
    mutating func timeStepBias(_ name: String, _ heads: Int) throws -> Parameter {
        try add(name, initialiser.timeStepBias(name, count: heads), [heads], decays: false)
    }

    private mutating func add(_ name: String, _ values: [Float], _ shape: Shape, decays: Bool) throws -> Parameter {
        let parameter = Parameter(name, try backend.upload(values, shape), decays: decays)
        parameters.append(parameter)
        return parameter
    }
}
