/// The machine's rate of matrix products: what a run's arithmetic is compared with.
import GDNAutograd
import GDNTensor

/// Measures matrix products.
package enum MatrixProductRate {
    /// Floating-point operations a second of float32 products of 1024 × 1024 matrices, the best of half a second; nil where
    /// the backend has no such measurement.
    package static func measure(_ backend: Backend, size: Int = 1024, seconds: Double = 0.5) -> Double? {
        guard case .cpu(let cpu) = backend else { return nil }
        var random = Random(seed: 1)
        let values = (0..<size * size).map { _ in Float(random.uniform()) }
        let (a, b) = (cpu.tensor(values, [size, size]), cpu.tensor(values.reversed(), [size, size]))
        let c = cpu.zeros([size, size])
        let start = ContinuousClock.now
        var best = Double.infinity
        repeat {
            let time = ContinuousClock().measure {
                cpu.matmul(c.floats, ldc: size, a.floats, lda: size, b.floats, ldb: size, m: size, n: size, k: size)
            }
            best = min(best, time / .seconds(1))
        } while (ContinuousClock.now - start) / .seconds(1) < seconds
        return 2 * Double(size * size * size) / best
    }
}
