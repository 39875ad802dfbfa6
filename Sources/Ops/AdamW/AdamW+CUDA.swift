import GDNCUDABackend
import GDNTensor

private let source = kernelSource("adamw", "AdamW/kernel.cu")

/// One launch for all slots, over a table of their addresses; nothing waits for the device's work.
func adamWStepCUDA(
    _ cuda: CUDABackend, _ slots: [AdamWSlot], learningRate: Double, step: Int, gradientScale: Double,
    configuration: AdamWConfiguration
) throws {
    if slots.isEmpty { return }
    let tensors = slots.flatMap { [$0.value, $0.firstMoment, $0.secondMoment, $0.gradient, $0.copy].compactMap { $0 } }
    let vector = tensors.allSatisfy { $0.deviceAddress % 16 == 0 } ? 4 : 1
    let chunk = 16_384
    var blocks = 0
    let rows = slots.flatMap { slot -> [Int64] in
        defer { blocks += (slot.value.count + chunk - 1) / chunk }
        let keep = Float(slot.decays ? 1 - learningRate * configuration.weightDecay : 1)
        let addresses = [slot.value, slot.firstMoment, slot.secondMoment, slot.gradient].map(\.deviceAddress)
        return (addresses + [slot.copy?.deviceAddress ?? 0]).map { Int64(bitPattern: $0) }
            + [Int64(slot.value.count), Int64(blocks), Int64(keep.bitPattern)]
    }
    let table = try cuda.uploadTable(rows)
    let kernels = try CUDAKernels(cuda, source, .float32, [("VECTOR", "\(vector)"), ("CHUNK", "\(chunk)")])
    let factors: [Double] = [
        learningRate / (1 - pow(configuration.beta1, Double(step))), configuration.beta1, 1 - configuration.beta1,
        configuration.beta2, 1 - configuration.beta2,
        1 / (1 - pow(configuration.beta2, Double(step))).squareRoot(), configuration.eps, gradientScale,
    ]
    try kernels.launch(
        "adamw_step", blocks: blocks, threads: 256,
        [.tensor(table), .int(slots.count)] + factors.map { .float(Float($0)) })
}
