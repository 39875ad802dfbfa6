import GDNTensor
import Testing

import GDNCPUBackend

@Suite struct MatrixProductTests {
    static let libraries = MatrixProductLibrary.allCases

    /// A misspelt name was once taken for automatic without a word.
    @Test func aMisspeltLibraryIsRefusedWithTheNamesThereAre() throws {
        #expect(try MatrixProductLibrary.named("ONEdnn") == .oneDNN)
        #expect(try MatrixProductLibrary.named("") == .automatic)
        #expect { try MatrixProductLibrary.named("openblass") } throws: { error in
            "\(error)".contains("GDN_BLAS is openblass")
                && "\(error)".contains("automatic, oneDNN, openBLAS, builtIn")
        }
    }

    @Test(arguments: libraries, [1, 2, 3]) func agreesWithDoubleArithmetic(
        _ library: MatrixProductLibrary, threads: Int
    ) {
        let cpu = CPUBackend(threads: threads, matrixProducts: library, poison: true)
        for (m, n, k) in [
            (1, 1, 1), (1, 70, 33), (7, 5, 100), (64, 64, 64), (65, 31, 17), (300, 130, 401), (9, 700, 300),
        ] {
            for form in 0..<4 {
                for (alpha, beta) in [(1, 0), (1, 1), (0.5, -0.25)] as [(Float, Float)] {
                    check(cpu, m, n, k, transposeA: form & 1 == 1, transposeB: form & 2 == 2, alpha, beta)
                }
            }
        }
        #expect(cpu.memory.guardViolations == 0)
    }

    private func check(
        _ cpu: CPUBackend, _ m: Int, _ n: Int, _ k: Int, transposeA: Bool, transposeB: Bool, _ alpha: Float,
        _ beta: Float
    ) {
        var random = Random(seed: UInt64(m * 1000 + n * 10 + k))
        func draw(_ count: Int) -> [Float] { (0..<count).map { _ in Float(random.normal()) } }
        let (lda, ldb, ldc) = ((transposeA ? m : k) + 3, (transposeB ? k : n) + 2, n + 1)
        let a = draw((transposeA ? k : m) * lda)
        let b = draw((transposeB ? n : k) * ldb)
        let old = beta == 0 ? [Float](repeating: .nan, count: m * ldc) : draw(m * ldc)
        let c = cpu.tensor(old, [m, ldc])
        let (left, right) = (cpu.tensor(a, [a.count]), cpu.tensor(b, [b.count]))
        cpu.matmul(
            c.floats, ldc: ldc, left.floats, lda: lda, transposeA: transposeA, right.floats, ldb: ldb,
            transposeB: transposeB, m: m, n: n, k: k, alpha: alpha, beta: beta)
        let result = c.floatArray()
        var worst = 0.0
        for i in 0..<m {
            for j in 0..<n {
                var sum = 0.0
                for p in 0..<k {
                    let x = transposeA ? a[p * lda + i] : a[i * lda + p]
                    sum += Double(x) * Double(transposeB ? b[j * ldb + p] : b[p * ldb + j])
                }
                let expected = Double(alpha) * sum + (beta == 0 ? 0 : Double(beta) * Double(old[i * ldc + j]))
                let error = abs(Double(result[i * ldc + j]) - expected)
                worst = error <= worst ? worst : error
            }
            #expect(result[i * ldc + n].bitPattern == old[i * ldc + n].bitPattern)
        }
        #expect(worst < 1e-5 * Double(k).squareRoot() + 1e-6, "\(m) × \(n) × \(k) \(transposeA) \(transposeB) \(beta)")
    }

    /// Products of many rows pack B once for all pieces; with one thread, or few rows, the kernel packs or reads in place.
    @Test(arguments: [2, 3]) func packingOnceGivesTheSameBits(threads: Int) {
        let one = CPUBackend(threads: 1, matrixProducts: .builtIn)
        let cpu = CPUBackend(threads: threads, matrixProducts: .builtIn, poison: true)
        var random = Random(seed: 8)
        for (m, n, k) in [(1300, 31, 300), (1801, 1100, 260), (1200, 40, 513)] {
            for transposeB in [false, true] {
                let a = (0..<m * (k + 3)).map { _ in Float(random.normal()) }
                let b = (0..<n * k).map { _ in Float(random.normal()) }
                let results = [one, cpu].map { cpu in
                    let (left, right, c) = (cpu.tensor(a, [a.count]), cpu.tensor(b, [b.count]), cpu.zeros([m, n + 1]))
                    for beta in [0, 1] as [Float] {
                        cpu.matmul(
                            c.floats, ldc: n + 1, left.floats, lda: k + 3, right.floats, ldb: transposeB ? k : n,
                            transposeB: transposeB, m: m, n: n, k: k, beta: beta)
                    }
                    return c.floatArray()
                }
                #expect(results[0] == results[1], "\(m) × \(n) × \(k) \(transposeB)")
            }
        }
        #expect(cpu.memory.guardViolations == 0)
    }

    @Test(arguments: libraries) func productsAreTheSameForEveryNumberOfThreads(_ library: MatrixProductLibrary) {
        var random = Random(seed: 5)
        let (m, n, k) = (513, 300, 900)
        let values = (0..<(m + n) * k).map { _ in Float(random.normal()) }
        let results = [1, 2, 5].map { threads in
            let cpu = CPUBackend(threads: threads, matrixProducts: library)
            let (a, b, c) = (cpu.tensor(values, [m + n, k]), cpu.tensor(values, [m + n, k]), cpu.empty([m, n]))
            cpu.matmul(
                c.floats, ldc: n, a.floats, lda: k, b.slice(m..<m + n).floats, ldb: k, transposeB: true, m: m, n: n,
                k: k)
            return c.floatArray()
        }
        #expect(results[0] == results[1])
        #expect(results[0] == results[2])
    }

    @Test(arguments: [1, 4, 8, 9, 100]) func bfloat16WeightsAreWidenedExactly(rows: Int) {
        let cpu = CPUBackend(threads: 2, poison: true)
        var random = Random(seed: 11)
        let (n, k) = (77, 133)
        let x = cpu.tensor((0..<rows * k).map { _ in Float(random.normal()) }, [rows, k])
        let weight = cpu.convert(cpu.tensor((0..<n * k).map { _ in Float(random.normal()) }, [n, k]), to: .bfloat16)
        let wide = cpu.convert(weight, to: .float32)
        let (y, expected) = (cpu.empty([rows, n]), cpu.empty([rows, n]))
        cpu.matmul(
            y.floats, ldy: n, x.floats, ldx: k, bfloat16Weight: weight.bfloat16Bits, ldw: k, m: rows, n: n, k: k)
        cpu.matmul(
            expected.floats, ldc: n, x.floats, lda: k, wide.floats, ldb: k, transposeB: true, m: rows, n: n, k: k)
        #expect(y.floatArray() == expected.floatArray())
    }

    @Test func saysWhatItMultipliesWith() {
        #expect(CPUBackend(threads: 1, matrixProducts: .builtIn).matrixProductDescription.hasPrefix("built-in kernel"))
        #expect(CPUBackend(threads: 1).measurePeakMatrixProduct() > 1e8)
        #expect(CPUBackend.availableCores >= 1)
        #expect(CPUBackend().threadCount == CPUBackend.availableCores)
    }
}
