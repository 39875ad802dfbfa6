import GDNCUDABackend
import GDNTensor

/// Products by the library, for any number of sequences, with small kernels between them; the last two of a block add to
/// the stream by themselves.
final class LibraryProducts: DecodingProducts {
    private let work: DecodingWork
    private let normed, heads, gate, up: Tensor

    init(_ work: DecodingWork) throws {
        self.work = work
        normed = try work.cuda.empty([work.batch, work.width], work.dtype)
        heads = try work.cuda.empty([work.batch, work.options.valueWidth], work.dtype)
        gate = try work.cuda.empty([work.batch, work.mlpWidth], work.dtype)
        up = try work.cuda.empty([work.batch, work.mlpWidth], work.dtype)
    }

    var readsPacked: Bool { true }

    func project(_ block: DecodingChain.Block, windows: [Tensor]) throws {
        guard let packed = block.packed else { return }
        try work.normalise(normed, block.norm, eps: work.options.eps)
        try work.multiply(work.mixed, normed, packed)
        try work.convolve(block, windows: windows)
    }

    func output(_ block: DecodingChain.Block) throws {
        try work.finishHeads(heads, block)
        try work.multiply(work.stream, heads, block.output, adding: true)
    }

    func feedForward(_ block: DecodingChain.Block) throws {
        try work.normalise(normed, block.mlpNorm, eps: work.options.eps)
        try work.multiply(gate, normed, block.gate)
        try work.multiply(up, normed, block.up)
        try work.swiGLU(gate, up)
        try work.multiply(work.stream, work.hidden, block.down, adding: true)
    }

    func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws {
        try work.normalise(normed, norm, eps: eps)
        try work.multiply(logits, normed, weight)
    }
}
