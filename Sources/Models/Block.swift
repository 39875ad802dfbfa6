import GDNAutograd
import GDNOps
import GDNTensor

/// One block: `x += mixer(norm(x)); x += MLP(norm(x))`, with a SwiGLU MLP.
///
/// The second addition is left to the norm that follows (`addRMSNorm`), so a block takes and returns two terms whose
/// sum is the residual stream.
final class Block {
    private let configuration: ModelConfiguration
    private let mixerNorm, mlpNorm, gate, up, down: Parameter
    let mixer: GatedDeltaNetMixer

    /// Makes the parameters of block `index`.
    init(_ configuration: ModelConfiguration, index: Int, store: inout ParameterStore) throws {
        self.configuration = configuration
        let prefix = "model.layers.\(index)"
        let (width, mlpWidth) = (configuration.hiddenSize, configuration.resolvedIntermediateSize)
        mixerNorm = try store.norm("\(prefix).attn_norm.weight", width)
        mixer = try GatedDeltaNetMixer(configuration, prefix: "\(prefix).attn", store: &store)
        mlpNorm = try store.norm("\(prefix).mlp_norm.weight", width)
        gate = try store.matrix("\(prefix).mlp.gate_proj.weight", mlpWidth, width)
        up = try store.matrix("\(prefix).mlp.up_proj.weight", mlpWidth, width)
        ParameterStack([gate, up])
        down = try store.matrix("\(prefix).mlp.down_proj.weight", width, mlpWidth, residual: true)
    }

    /// From the stream's two terms (the second nil before the first block) to those after this block.
    func forward(
        _ tape: Tape, _ stream: Variable, _ pending: Variable?, sequences: Tensor?,
        state: inout GatedDeltaNetMixer.State?
    ) throws -> (Variable, Variable) {
        let eps = Float(configuration.normEps)
        let x: Variable
        let normed: Variable
        if let pending {
            (x, normed) = try tape.addRMSNorm(pending, stream, weight: mixerNorm, eps: eps)
        } else {
            (x, normed) = (stream, try tape.rmsNorm(stream, weight: mixerNorm, eps: eps))
        }
        let mixed = try mixer.forward(tape, normed, sequences: sequences, state: &state)
        let (middle, mlpInput) = try tape.addRMSNorm(mixed, x, weight: mlpNorm, eps: eps)
        let hidden = try tape.projections(mlpInput, [gate, up])
        return (middle, try tape.linear(tape.swiGLU(hidden[0], hidden[1]), down))
    }

    /// The weights as a step of one token takes them.
    var decodingWeights: DecodingWeights<Variable> {
        mixer.decodingWeights(norm: mixerNorm, mlpNorm: mlpNorm, gate: gate, up: up, down: down)
    }
}
