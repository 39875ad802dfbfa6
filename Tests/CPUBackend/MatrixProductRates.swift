import GDNTensor
import Testing

import GDNCPUBackend

/// Prints the table of the README; runs only when asked for: `GDN_MEASURE=1 swift test -c release --filter Rates`.
///
/// One thread, FLOPs over its processor time, so that other programs on the machine disturb the rates little; cut into the
/// pieces that all threads would share.
@Suite(.enabled(if: getenv("GDN_MEASURE") != nil), .serialized) struct MatrixProductRates {
    /// The three products of a linear layer with 4096 rows: forward x Wᵀ, dx = dy W, dW = dyᵀ x.
    @Test func trainingShapes() {
        let sizes = [(256, 256), (512, 256), (768, 256), (256, 768), (512, 512), (768, 768), (4096, 256)]
        print("| out × in | form | built-in | oneDNN | OpenBLAS |")
        let backends = [MatrixProductLibrary.builtIn, .oneDNN, .openBLAS].map {
            CPUBackend(threads: 1, matrixProducts: $0)
        }
        for (output, input) in sizes {
            for form in Form.allCases {
                let rates = rates(backends, form, rows: 4096, output: output, input: input)
                let cells = rates.map { "\(Int($0.rounded()))" }.joined(separator: " | ")
                print("| \(output) × \(input) | \(form.rawValue) | \(cells) |")
                #expect(rates.allSatisfy { $0 > 0 })
            }
        }
    }

    enum Form: String, CaseIterable { case forward, dx, dW }

    /// GFLOP/s of each backend for a second of processor time, best of several rounds in which all take turns.
    private func rates(_ backends: [CPUBackend], _ form: Form, rows: Int, output: Int, input: Int) -> [Double] {
        let (x, dy, w) = (
            backends[0].zeros([rows, input]), backends[0].zeros([rows, output]), backends[0].zeros([output, input])
        )
        let (y, dx, dw) = (backends[0].empty(dy.shape), backends[0].empty(x.shape), backends[0].empty(w.shape))
        var best = backends.map { _ in Double.infinity }
        for _ in 0..<15 {
            for (index, cpu) in backends.enumerated() {
                let start = processorTime()
                switch form {
                case .forward:
                    cpu.matmul(
                        y.floats, ldc: output, x.floats, lda: input, w.floats, ldb: input, transposeB: true,
                        m: rows, n: output, k: input)
                case .dx:
                    cpu.matmul(
                        dx.floats, ldc: input, dy.floats, lda: output, w.floats, ldb: input, m: rows, n: input,
                        k: output)
                case .dW:
                    cpu.matmul(
                        dw.floats, ldc: input, dy.floats, lda: output, transposeA: true, x.floats, ldb: input,
                        m: output, n: input, k: rows)
                }
                best[index] = min(best[index], processorTime() - start)
            }
        }
        return best.map { 2e-9 * Double(rows * output * input) / $0 }
    }

    private func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
