import GDNTensor
import Testing

import GDNCPUBackend

@Suite struct MemoryTests {
    @Test func freedMemoryIsHandedOutAgain() {
        let cpu = CPUBackend(threads: 1)
        var tensor: Tensor? = cpu.empty([1000, 100])
        let address = tensor?.address
        #expect(cpu.memory.bytesInUse >= 400_000)
        #expect(cpu.memory.bytesInUse <= 450_000)
        tensor = nil
        #expect(cpu.memory.bytesInUse == 0)
        #expect(cpu.memory.cachedBytes >= 400_000)
        tensor = cpu.empty([100, 1000])
        #expect(tensor?.address == address)
        #expect(cpu.memory.cachedBytes == 0)
        tensor = nil
        cpu.memory.releaseCachedMemory()
        #expect(cpu.memory.cachedBytes == 0)
        #expect(cpu.memory.peakBytes >= 400_000)
    }

    @Test func keepsNoMoreThanItsLimit() {
        let cpu = CPUBackend(threads: 1, cacheLimit: 10_000)
        for count in [100, 1000, 2000, 5000, 100_000] { _ = cpu.empty([count]) }
        #expect(cpu.memory.cachedBytes <= 10_000)
        #expect(cpu.memory.cachedBytes >= 4_000)
    }

    @Test func poisonedMemoryIsNaNAlsoTheSecondTime() {
        let cpu = CPUBackend(threads: 1, poison: true)
        for _ in 0..<2 {
            let tensor = cpu.empty([33])
            #expect(tensor.floatArray().allSatisfy { $0.isNaN })
            for index in 0..<33 { tensor.floats[index] = 1 }
            let half = cpu.empty([5], .bfloat16)
            #expect(half.floatArray().allSatisfy { $0.isNaN })
        }
        #expect(cpu.memory.guardViolations == 0)
    }

    @Test(arguments: [-1, 33, 40]) func aWritePastAnEndIsNoticed(index: Int) {
        let cpu = CPUBackend(threads: 1, poison: true)
        do {
            let tensor = cpu.empty([33])
            tensor.floats[index] = 0
            #expect(cpu.memory.guardViolations == 1)
            withExtendedLifetime(tensor) {}
        }
        #expect(cpu.memory.guardViolations == 1)
    }

    @Test func conversionIsExactThereAndBack() {
        let cpu = CPUBackend(threads: 2)
        var random = Random(seed: 3)
        let values = (0..<70_001).map { _ in BFloat16(Float(random.normal())).float }
        let tensor = cpu.tensor(values, [values.count])
        let half = cpu.convert(tensor, to: .bfloat16)
        #expect(cpu.convert(half, to: .float32).floatArray() == values)
        let other = cpu.empty([values.count])
        cpu.copy(tensor, into: other)
        cpu.add(into: other, tensor)
        cpu.scale(other, by: 0.5)
        #expect(other.floatArray() == values)
        cpu.add(into: half, half)
        #expect(half.floatArray() == values.map { $0 * 2 })
    }
}
