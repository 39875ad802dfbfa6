import Foundation
import GDNAutograd
import GDNCPUBackend
import GDNOps
import GDNTensor
import Testing

/// How fast the operation is, measured against matrix products and copies of the same run; prints a table.
///
/// Only with `GDN_SPEED=1` in the environment. One thread is measured in processor time, which other work on the machine
/// disturbs little; several threads in real time, for which the machine must be idle.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["GDN_SPEED"] == "1"))
struct GatedDeltaRuleSpeedTests {
    /// FLOPs of the chunk form with full 64 × 64 products (the triangular halves that are skipped count too).
    private func flops(_ B: Int, _ T: Int, _ HV: Int, _ K: Int, _ V: Int) -> (forward: Double, backward: Double) {
        let tokens = Double(B * T * HV)
        let forward = 2 * (2 * 64 * K + 3 * K * V + 2 * 64 * V)
        let backward = 2 * (6 * K * V + 64 * (5 * K + 4 * V))
        return (tokens * Double(forward), tokens * Double(backward))
    }

    @Test(arguments: [1, 2])
    func trainingShapes(_ threads: Int) throws {
        let cpu = CPUBackend(threads: threads)
        let now: () -> Double = threads == 1 ? { self.processorSeconds } : { self.realSeconds }
        let peak = productRate(cpu, now)
        print("threads \(threads): matrix products \(rate(peak))")
        for (B, T, H, HV, K, V) in [
            (8, 512, 4, 4, 64, 128), (8, 512, 4, 4, 128, 128), (8, 512, 4, 4, 64, 64), (8, 512, 2, 4, 64, 128),
            (1, 4096, 1, 1, 128, 128), (1, 4096, 2, 2, 256, 512),
        ] {
            var random = Random(seed: 3)
            func draw(_ shape: Shape, _ element: (inout Random) -> Double) -> Variable {
                let values = (0..<shape.count).map { _ in Float(element(&random)) }
                return Variable(cpu.tensor(values, shape), requiresGradient: true)
            }
            let unit = 1 / Double(K).squareRoot()
            let (q, k) = (draw([B, T, H, K]) { unit * $0.normal() }, draw([B, T, H, K]) { unit * $0.normal() })
            let v = draw([B, T, HV, V]) { $0.normal() }
            let (decay, beta) = (draw([B, T, HV]) { -$0.uniform() }, draw([B, T, HV]) { $0.uniform() })
            var (forward, backward) = (Double.infinity, Double.infinity)
            for _ in 0..<9 {
                let tape = Tape(.cpu(cpu))
                let start = now()
                let (output, _) = try tape.gatedDeltaRule(q, k, v, logDecay: decay, beta: beta)
                let middle = now()
                try tape.backward([output], gradients: [v.value])
                let end = now()
                forward = min(forward, middle - start)
                backward = min(backward, end - middle)
            }
            let work = flops(B, T, HV, K, V)
            let share = (work.forward + work.backward) / (forward + backward) / peak
            print(
                "[\(B), \(T), \(H), \(HV), \(K), \(V)] forward \(milliseconds(forward)) \(rate(work.forward / forward))",
                "backward \(milliseconds(backward)) \(rate(work.backward / backward))",
                "share of the product rate \(Int(100 * share)) %")
            #expect(share >= 0.6)
        }
    }

    /// Decoding reads and writes every state once, at no less than half the speed of copying it.
    @Test func step() throws {
        let cpu = CPUBackend()
        let (B, H, K, V) = (64, 16, 128, 128)
        let (q, k, v) = (cpu.zeros([B, 1, H, K]), cpu.zeros([B, 1, H, K]), cpu.zeros([B, 1, H, V]))
        let (gate, state, copy) = (cpu.zeros([B, 1, H]), cpu.zeros([B, H, K, V]), cpu.zeros([B, H, K, V]))
        var (stepping, copying) = (Double.infinity, Double.infinity)
        for _ in 0..<20 {
            let start = realSeconds
            _ = try Backend.cpu(cpu).gatedDeltaRuleStep(q, k, v, logDecay: gate, beta: gate, state: state)
            let middle = realSeconds
            cpu.copy(state, into: copy)
            stepping = min(stepping, middle - start)
            copying = min(copying, realSeconds - middle)
        }
        let bytes = 2 * Double(state.byteCount)
        print(
            "step [\(B), \(H), \(K), \(V)]: \(milliseconds(stepping)), \(Int(bytes / stepping / 1e9)) GB/s;",
            "copy \(Int(bytes / copying / 1e9)) GB/s")
        #expect(stepping <= 2 * copying)
    }

    /// FLOP/s of a large matrix product.
    private func productRate(_ cpu: CPUBackend, _ now: () -> Double) -> Double {
        let (m, n, k) = (1024, 512, 512)
        let (a, b, c) = (cpu.zeros([m, k]), cpu.zeros([k, n]), cpu.empty([m, n]))
        let times = (0..<20).map { _ in
            let start = now()
            cpu.matmul(c.floats, ldc: n, a.floats, lda: k, b.floats, ldb: n, m: m, n: n, k: k)
            return now() - start
        }
        return 2 * Double(m * n * k) / (times.min() ?? .infinity)
    }

    private var processorSeconds: Double { seconds(CLOCK_PROCESS_CPUTIME_ID) }

    private var realSeconds: Double { seconds(CLOCK_MONOTONIC) }

    private func seconds(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + 1e-9 * Double(time.tv_nsec)
    }

    private func milliseconds(_ seconds: Double) -> String { String(format: "%.2f ms", seconds * 1e3) }

    private func rate(_ flops: Double) -> String { String(format: "%.0f GFLOP/s", flops / 1e9) }
}
