import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

@Suite struct GradientClippingTests {
    let cpu = CPUBackend(poison: true)

    @Test(arguments: ["clips", "keeps"])
    func golden(_ name: String) throws {
        let golden = try Golden("ops/clip_\(name)")
        let gradients = try ["g0", "g1"].map {
            cpu.tensor(try golden.floats("in.\($0)"), try golden.shape("in.\($0)"))
        }
        let norm = try globalNorm(gradients, on: .cpu(cpu))
        #expect(relativeError([Float(norm)], try golden.floats("out.norm")) < 2e-6)
        let coefficient = clipCoefficient(norm: norm, maximum: 1)
        #expect((coefficient < 1) == (name == "clips"))
        for (index, gradient) in gradients.enumerated() {
            let clipped = gradient.floatArray().map { Float(Double($0) * coefficient) }
            #expect(relativeError(clipped, try golden.floats("out.g\(index)")) < 2e-6)
        }
    }

    /// The norm of a long vector is the same to the last bit for any number of threads.
    @Test func threadsDoNotMatter() throws {
        var random = Random(seed: 5)
        let values = (0..<200_000).map { _ in Float(random.normal()) }
        let norms = try [1, 2, 3, 7].map { threads in
            let cpu = CPUBackend(threads: threads)
            return try globalNorm(
                [cpu.tensor(values, [200_000]), cpu.tensor([1.0, 2.0] as [Float], [2])], on: .cpu(cpu))
        }
        #expect(Set(norms).count == 1)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func brokenGradientShows(_ broken: Float) throws {
        for position in [0, 31, 32, 99] {
            var values = [Float](repeating: 1, count: 100)
            values[position] = broken
            let norm = try globalNorm([cpu.tensor([1.0] as [Float], [1]), cpu.tensor(values, [100])], on: .cpu(cpu))
            #expect(!norm.isFinite)
        }
        #expect(clipCoefficient(norm: .nan, maximum: 1).isNaN)
        #expect(clipCoefficient(norm: .infinity, maximum: 1) == 0)
    }

    @Test func noTensorsHaveNormZero() throws {
        #expect(try globalNorm([], on: .cpu(cpu)) == 0)
    }
}
