import GDNCUDABackend
import GDNTensor

private func source(_ name: String) -> KernelSource {
    kernelSource("decoding_\(name)", "Decoding/chain.cuh", "Decoding/product.cuh", "Decoding/\(name).cu")
}
private let projectSource = source("project")
private let outputSource = source("output")
private let gateUpSource = source("gate_up")
private let downSource = source("down")
private let headSource = source("head")

/// Products for a few sequences (`product.cuh`): what stands before and behind a product is fused with it, so that a block
/// is five kernels that read every weight once.
final class StreamedProducts: DecodingProducts {
    private let work: DecodingWork
    private let project, output, gateUp, down: StreamedProductPlan

    /// Most sequences. Every block keeps all rows of x, which leaves less and less room for the weights; wide products,
    /// which bfloat16 has, are faster from five rows on.
    private static func mostRows(_ dtype: DType) -> Int { dtype == .bfloat16 ? 4 : 8 }

    /// Nil where there are too many sequences or a kernel does not fit.
    init?(_ work: DecodingWork) {
        let options = work.options
        let units = options.projectionRows.reduce(0) { $0 + ($1 + 7) / 8 }
        guard work.batch <= Self.mostRows(work.dtype),
            let project = Self.plan(work, inputs: work.width, units: units),
            let output = Self.plan(work, inputs: options.valueWidth, units: (work.width + 7) / 8),
            let gateUp = Self.plan(work, inputs: work.width, units: (work.mlpWidth + 3) / 4),
            let down = Self.plan(work, inputs: work.mlpWidth, units: (work.width + 7) / 8)
        else { return nil }
        (self.work, self.project, self.output, self.gateUp, self.down) = (work, project, output, gateUp, down)
    }

    private static func plan(_ work: DecodingWork, inputs: Int, units: Int) -> StreamedProductPlan? {
        StreamedProductPlan(
            inputs: inputs, units: units, batch: work.batch, dtype: work.dtype,
            multiprocessors: work.cuda.description.multiprocessors,
            sharedLimit: work.cuda.description.sharedBytesPerBlock)
    }

    var readsPacked: Bool { false }

    func project(_ block: DecodingChain.Block, windows: [Tensor]) throws {
        try launch(
            projectSource, "project", project, work.convolutionDefines,
            [.tensor(work.mixed), .tensor(work.stream), .tensor(block.norm), .float(work.options.eps)]
                + block.projections.map { .optional($0) } + work.options.projectionRows.map { .int($0) }
                + [.int(work.stride)] + work.convolutionArguments(block, windows))
    }

    func output(_ block: DecodingChain.Block) throws {
        try launch(
            outputSource, "output", output, work.headDefines + [("VALUE_DIM", "\(work.options.valueDim)")],
            [.tensor(work.stream)] + work.headArguments(block) + [.tensor(block.output), .int(work.width)])
    }

    func feedForward(_ block: DecodingChain.Block) throws {
        try launch(
            gateUpSource, "gate_up", gateUp, [],
            [
                .tensor(work.hidden), .tensor(work.stream), .tensor(block.mlpNorm), .float(work.options.eps),
                .tensor(block.gate), .tensor(block.up), .int(work.mlpWidth),
            ])
        try launch(
            downSource, "down", down, [],
            [.tensor(work.stream), .tensor(work.hidden), .tensor(block.down), .int(work.width)])
    }

    func head(_ logits: Tensor, norm: Tensor, weight: Tensor, eps: Float) throws {
        let count = weight.shape[0]
        guard let plan = Self.plan(work, inputs: work.width, units: (count + 7) / 8) else { return }
        try launch(
            headSource, "head", plan, [],
            [.tensor(logits), .tensor(work.stream), .tensor(norm), .float(eps), .tensor(weight), .int(count)])
    }

    private func launch(
        _ source: KernelSource, _ name: String, _ plan: StreamedProductPlan, _ defines: KernelDefines,
        _ arguments: [KernelArgument]
    ) throws {
        try work.launch(
            source, name, plan.defines + defines, blocks: plan.blocks, threads: StreamedProductPlan.threads,
            shared: plan.shared, arguments)
    }
}
