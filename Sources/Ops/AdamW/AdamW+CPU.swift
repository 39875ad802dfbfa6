import GDNCPUBackend
import GDNOpsKernels
import GDNTensor

/// All slots as one list of blocks, so that many small tensors cost no more than one large one.
func adamWStepCPU(
    _ cpu: CPUBackend, _ slots: [AdamWSlot], learningRate: Double, step: Int, gradientScale: Double,
    configuration: AdamWConfiguration
) {
    let plain = gdn_adamw_factors(
        keep: 1, rate: Float(learningRate / (1 - pow(configuration.beta1, Double(step)))),
        beta1: Float(configuration.beta1), rest1: Float(1 - configuration.beta1), beta2: Float(configuration.beta2),
        rest2: Float(1 - configuration.beta2),
        inverse_root: Float(1 / (1 - pow(configuration.beta2, Double(step))).squareRoot()),
        eps: Float(configuration.eps), gradient_scale: Float(gradientScale))
    var decayed = plain
    decayed.keep = Float(1 - learningRate * configuration.weightDecay)
    let blocks = elementBlocks(slots.map(\.value.count))
    cpu.parallel(blocks.count, grain: 1) { range in
        for block in blocks[range] {
            let slot = slots[block.tensor]
            let start = block.elements.lowerBound
            withUnsafePointer(to: slot.decays ? decayed : plain) { factors in
                gdn_adamw_step(
                    slot.value.floats + start, slot.firstMoment.floats + start, slot.secondMoment.floats + start,
                    slot.gradient.floats + start, factors, block.elements.count)
            }
        }
    }
}

/// A run of elements of one of many tensors.
struct ElementBlock {
    var tensor: Int
    var elements: Range<Int>
}

/// Cuts tensors of these counts into blocks of at most 32,768 elements, in order; the cut depends on nothing else.
func elementBlocks(_ counts: [Int]) -> [ElementBlock] {
    counts.enumerated().flatMap { tensor, count in
        stride(from: 0, to: count, by: 32_768).map { start in
            ElementBlock(tensor: tensor, elements: start..<min(count, start + 32_768))
        }
    }
}
