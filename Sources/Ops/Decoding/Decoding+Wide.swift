import GDNCUDABackend
import GDNTensor

private func source(_ name: String) -> KernelSource {
    kernelSource("decoding_wide_\(name)", "Decoding/chain.cuh", "Decoding/wide.cuh", "Decoding/wide_\(name).cu")
}
private let projectSource = source("project")
private let gateUpSource = source("gate_up")
private let partSource = source("part")

/// Products on the matrix units for up to 64 sequences in bfloat16 (`wide.cuh`), with small kernels between them. Two of a
/// block are cut into slices, which the next norm adds to the stream.
final class WideProducts: DecodingProducts {
    private let work: DecodingWork
    private let project, output, gateUp, down: WideProductPlan
    private let normed, heads: Tensor
    /// Results of a product in slices [slices, B, D].
    private let parts: Tensor
    /// How many of them are still to be added to the stream.
    private var pending = 0

    /// Nil where there are too many sequences, in float32, or where a kernel does not fit.
    init?(_ work: DecodingWork) throws {
        let valueWidth = work.options.valueWidth
        guard work.dtype == .bfloat16, work.batch <= WideProductPlan.mostRows,
            let project = Self.plan(work, inputs: work.width, rows: work.stride),
            let output = Self.plan(work, inputs: valueWidth, rows: work.width, slices: 8),
            let gateUp = Self.plan(work, inputs: work.width, rows: 2 * work.mlpWidth),
            let down = Self.plan(work, inputs: work.mlpWidth, rows: work.width, slices: 8)
        else { return nil }
        (self.work, self.project, self.output, self.gateUp, self.down) = (work, project, output, gateUp, down)
        normed = try work.cuda.empty([work.batch, work.width], work.dtype)
        heads = try work.cuda.empty([work.batch, valueWidth], work.dtype)
        parts = try work.cuda.empty([max(output.slices, down.slices), work.batch, work.width])
    }

    private static func plan(_ work: DecodingWork, inputs: Int, rows: Int, slices: Int = 1) -> WideProductPlan? {
        WideProductPlan(
            inputs: inputs, rows: rows, batch: work.batch, mostSlices: slices,
            multiprocessors: work.cuda.description.multiprocessors,
            sharedLimit: work.cuda.description.sharedBytesPerBlock)
    }

    var readsPacked: Bool { true }

    func begin() { pending = 0 }

    func project(_ block: DecodingChain.Block, windows: [Tensor]) throws {
        try normalise(block.norm, eps: work.options.eps)
        try launch(
            projectSource, "wide_project", project,
            [
                .tensor(work.mixed), .tensor(normed), .optional(block.packed), .int(work.stride), .int(work.batch),
                .int(work.stride),
            ])
        try work.convolve(block, windows: windows)
    }

    func output(_ block: DecodingChain.Block) throws {
        try work.finishHeads(heads, block)
        try part(heads, block.output, output)
    }

    func feedForward(_ block: DecodingChain.Block) throws {
        try normalise(block.mlpNorm, eps: work.options.eps)
        try launch(
            gateUpSource, "wide_gate_up", gateUp,
            [
                .tensor(work.hidden), .tensor(normed), .tensor(block.gate), .tensor(block.up), .int(work.mlpWidth),
                .int(work.batch),
            ])
        try part(work.hidden, block.down, down)
    }

    func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws {
        try normalise(norm, eps: eps)
        try work.multiply(logits, normed, weight)
    }

    func finish(_ block: DecodingChain.Block) throws { try normalise(block.norm, eps: work.options.eps) }

    /// The norm of the stream, completed, into `normed`.
    private func normalise(_ weight: Tensor, eps: Float) throws {
        try work.normalise(normed, weight, eps: eps, adding: pending > 0 ? parts : nil, slices: pending)
        pending = 0
    }

    /// x Wᵀ in slices, to be added to the stream.
    private func part(_ x: Tensor, _ weight: Tensor, _ plan: WideProductPlan) throws {
        try launch(
            partSource, "wide_part", plan,
            [.tensor(parts), .tensor(x), .tensor(weight), .int(work.width), .int(work.batch)])
        pending = plan.slices
    }

    private func launch(
        _ source: KernelSource, _ name: String, _ plan: WideProductPlan, _ arguments: [KernelArgument]
    ) throws {
        try work.launch(
            source, name, plan.defines, blocks: plan.blocks, threads: WideProductPlan.threads, shared: plan.shared,
            arguments)
    }
}
