import GDNCUDABackend
import GDNTensor

/// How fresh weights are drawn.
public enum InitialisationScheme: String, Codable, Sendable, CaseIterable {
    /// flash-linear-attention's: matrices, embeddings and convolutions N(0, `initializer_range`).
    case fla
    /// The paper's repository: embeddings N(0, 0.02), matrices and convolutions U(±1/√fan-in), the two outputs into
    /// the residual stream of each block divided by √(2 · layers).
    case paper
}

/// Draws the values of one parameter after another from a generator of its own each, so that the values of one do
/// not depend on which others exist.
struct Initialiser: Sendable {
    let scheme: InitialisationScheme
    let seed: UInt64
    let layers: Int
    let range: Double

    /// The elements of one parameter, drawn one after another.
    struct Fill: Sendable {
        /// The generator before the first.
        var start: Random
        /// Draws an element.
        var element: @Sendable (inout Random) -> Float
        /// What `element` draws, where it is something that a GPU draws as well.
        var distribution: RandomFiller.Distribution?

        /// Writes all elements.
        func write(_ elements: UnsafeMutableBufferPointer<Float>) {
            var random = start
            for index in elements.indices { elements[index] = element(&random) }
        }
    }

    /// A linear layer's matrix [out, in]; `residual` marks outputs into the residual stream.
    func matrix(_ name: String, fanIn: Int, residual: Bool) -> Fill {
        switch scheme {
        case .fla: return normal(name, range)
        case .paper:
            let bound = 1 / Double(fanIn).squareRoot() / (residual ? Double(2 * layers).squareRoot() : 1)
            return draw(name, .uniform(bound)) { Float($0.uniform(-bound, bound)) }
        }
    }

    /// An embedding table.
    func embedding(_ name: String) -> Fill {
        normal(name, scheme == .fla ? range : 0.02)
    }

    /// Depthwise convolution filters [channels, 1, width].
    func convolution(_ name: String, width: Int) -> Fill {
        matrix(name, fanIn: width, residual: false)
    }

    /// `A_log = ln A`, A uniform in (0, 16].
    func logRate(_ name: String) -> Fill {
        draw(name) { Float(log(16 * (1 - $0.uniform()))) }
    }

    /// `dt_bias`: the inverse softplus of dt, log-uniform in [1e-3, 0.1], at least 1e-4.
    func timeStepBias(_ name: String) -> Fill {
        draw(name) { random in
            let dt = max(exp(random.uniform(log(1e-3), log(0.1))), 1e-4)
            return Float(dt + log(-expm1(-dt)))
        }
    }

    private func normal(_ name: String, _ deviation: Double) -> Fill {
        draw(name, .normal(deviation)) { Float(deviation * $0.normal()) }
    }

    private func draw(
        _ name: String, _ distribution: RandomFiller.Distribution? = nil,
        _ element: @escaping @Sendable (inout Random) -> Float
    ) -> Fill {
        let start = Random.stream(
            seed: seed, name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 })
        return Fill(start: start, element: element, distribution: distribution)
    }

    /// Ones; nothing is drawn.
    var ones: Fill { Fill(start: Random(seed: 0), element: { _ in 1 }) }
}
