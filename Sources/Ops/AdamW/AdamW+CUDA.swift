import GDNCUDABackend
import GDNTensor

private let source = kernelSource("adamw", "AdamW/kernel.cu")

/// One launch a slot; nothing waits for the device.
func adamWStepCUDA(
    _ cuda: CUDABackend, _ slots: [AdamWSlot], learningRate: Double, step: Int, gradientScale: Double,
    configuration: AdamWConfiguration
) throws {
    let rate = learningRate / (1 - pow(configuration.beta1, Double(step)))
    let inverseRoot = 1 / (1 - pow(configuration.beta2, Double(step))).squareRoot()
    for slot in slots {
        let tensors = [slot.value, slot.firstMoment, slot.secondMoment, slot.gradient]
        let vector = vectorLength(tensors)
        let kernels = try CUDAKernels(cuda, source, .float32, [("VECTOR", "\(vector)")])
        let factors: [Double] = [
            slot.decays ? 1 - learningRate * configuration.weightDecay : 1, rate, configuration.beta1,
            1 - configuration.beta1, configuration.beta2, 1 - configuration.beta2, inverseRoot, configuration.eps,
            gradientScale,
        ]
        try kernels.launch(
            "adamw_step", blocks: loopBlocks(slot.value.count / vector), threads: 256,
            tensors.map { .tensor($0) } + factors.map { .float(Float($0)) } + [.long(slot.value.count)])
    }
}
