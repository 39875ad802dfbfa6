import GDNAutograd
import GDNCUDABackend
import GDNOps
import GDNTensor

/// Makes the parameters of a model, in order, and remembers them. `fill` then draws all of them, on many threads.
struct ParameterStore {
    let backend: Backend
    let initialiser: Initialiser
    private(set) var parameters: [Parameter] = []
    private var fills: [Initialiser.Fill] = []

    init(backend: Backend, initialiser: Initialiser) {
        self.backend = backend
        self.initialiser = initialiser
    }

    /// A matrix [out, in].
    mutating func matrix(_ name: String, _ out: Int, _ input: Int, residual: Bool = false) throws -> Parameter {
        try add(name, [out, input], decays: true, initialiser.matrix(name, fanIn: input, residual: residual))
    }

    /// An embedding table [tokens, width].
    mutating func embedding(_ name: String, _ tokens: Int, _ width: Int) throws -> Parameter {
        try add(name, [tokens, width], decays: true, initialiser.embedding(name))
    }

    /// Convolution filters [channels, 1, width].
    mutating func convolution(_ name: String, _ channels: Int, width: Int) throws -> Parameter {
        try add(name, [channels, 1, width], decays: false, initialiser.convolution(name, width: width))
    }

    /// A norm's weight, ones.
    mutating func norm(_ name: String, _ width: Int) throws -> Parameter {
        try add(name, [width], decays: false, initialiser.ones)
    }

    /// `A_log` of the gate.
    mutating func logRate(_ name: String, _ heads: Int) throws -> Parameter {
        try add(name, [heads], decays: false, initialiser.logRate(name))
    }

    /// `dt_bias` of the gate.
    mutating func timeStepBias(_ name: String, _ heads: Int) throws -> Parameter {
        try add(name, [heads], decays: false, initialiser.timeStepBias(name))
    }

    /// Draws the elements of all parameters, the largest first.
    func fill() throws {
        let order = parameters.indices.sorted { parameters[$0].value.count > parameters[$1].value.count }
        let jobs = order.map { (tensor: parameters[$0].value, fill: fills[$0]) }
        let backend = backend
        var filler: RandomFiller?
        if case .cuda(let cuda) = backend {
            if cuda.isRehearsing { return }
            filler = try RandomFiller(cuda)
        }
        try concurrently(jobs.count, threads: processorCount()) { [filler] index in
            let (tensor, fill) = jobs[index]
            switch backend {
            case .cpu: fill.write(UnsafeMutableBufferPointer(start: tensor.floats, count: tensor.count))
            case .cuda(let cuda):
                if let filler, let distribution = fill.distribution, tensor.count >= 1 << 16 {
                    return try filler.fill(tensor, distribution, from: fill.start)
                }
                let elements = UnsafeMutableBufferPointer<Float>.allocate(capacity: tensor.count)
                defer { elements.deallocate() }
                fill.write(elements)
                try cuda.upload(UnsafeRawPointer(elements.baseAddress), into: tensor)
            }
        }
    }

    private mutating func add(_ name: String, _ shape: Shape, decays: Bool, _ fill: Initialiser.Fill) throws
        -> Parameter
    {
        let parameter = Parameter(name, try backend.empty(shape), decays: decays)
        parameters.append(parameter)
        fills.append(fill)
        return parameter
    }
}
