import GDNCPUBackend
import GDNModels
import GDNTensor

/// What the matrix products of a training step cost alone, each at the rate of the fastest library at its shape.
package struct MatrixProductFloor {
    /// One kind of product of the step.
    package struct Product: Sendable, Codable {
        package let name: String
        package let m: Int
        package let n: Int
        package let k: Int
        package let transposeA: Bool
        package let transposeB: Bool
        /// How often it runs in one step.
        package let count: Int
    }

    /// The result for one product.
    package struct Row: Sendable, Codable {
        package let product: Product
        /// Seconds of one run by library.
        package let seconds: [String: Double]
        /// Seconds of all its runs with the fastest library.
        package let floor: Double
    }

    /// Dense products of one step on `rows` tokens: forward, input gradient and weight gradient of every matrix.
    package static func products(_ model: ModelConfiguration, rows: Int) -> [Product] {
        let width = model.hiddenSize
        let (keys, values, mlp) = (model.keyWidth, model.valueWidth, model.resolvedIntermediateSize)
        let matrices: [(String, Int, Int, Int)] = [
            ("q,k", keys, width, 2 * model.layers), ("v,g", values, width, 2 * model.layers),
            ("a,b", model.resolvedValueHeads, width, 2 * model.layers), ("o", width, values, model.layers),
            ("gate,up", mlp, width, 2 * model.layers), ("down", width, mlp, model.layers),
            ("head", model.vocabularySize, width, 1),
        ]
        return matrices.flatMap { name, out, input, count in
            [
                Product(
                    name: "\(name) forward", m: rows, n: out, k: input, transposeA: false, transposeB: true,
                    count: count),
                Product(
                    name: "\(name) input gradient", m: rows, n: input, k: out, transposeA: false, transposeB: false,
                    count: count),
                Product(
                    name: "\(name) weight gradient", m: out, n: input, k: rows, transposeA: true, transposeB: false,
                    count: count),
            ]
        }
    }

    /// Times every product with every library.
    package static func measure(_ products: [Product], libraries: [(String, CPUBackend)], runs: Int = 5) -> [Row] {
        products.map { product in
            var seconds: [String: Double] = [:]
            for (name, cpu) in libraries {
                let a = random(cpu, product.m * product.k, seed: 1)
                let b = random(cpu, product.k * product.n, seed: 2)
                let c = cpu.empty([product.m * product.n])
                seconds[name] =
                    Timing.measure(runs: runs) {
                        cpu.matmul(
                            c.floats, ldc: product.n, a.floats, lda: product.transposeA ? product.m : product.k,
                            transposeA: product.transposeA, b.floats, ldb: product.transposeB ? product.k : product.n,
                            transposeB: product.transposeB, m: product.m, n: product.n, k: product.k)
                    }.median
            }
            return Row(product: product, seconds: seconds, floor: Double(product.count) * (seconds.values.min() ?? 0))
        }
    }

    /// Seconds of the delta rule's products in one step: its FLOPs, forward and backward, at the rate of the fastest
    /// library for the chunk's largest product (64 × V × K), one on each thread at a time.
    package static func measureRule(_ model: ModelConfiguration, tokens: Int, libraries: [(String, CPUBackend)])
        -> (seconds: Double, rate: Double)
    {
        let (chunk, k, v) = (64, model.headDim, model.valueDim)
        let repetitions = 512
        let work = Double(2 * chunk * v * k * repetitions)
        let rate =
            libraries.map { _, cpu in
                let a = random(cpu, chunk * k, seed: 3)
                let b = random(cpu, k * v, seed: 4)
                let c = cpu.empty([cpu.threadCount, chunk * v])
                let time = Timing.measure(runs: 5) {
                    cpu.parallel(cpu.threadCount) { thread in
                        for _ in 0..<repetitions / cpu.threadCount {
                            cpu.matmul(
                                c.floats + thread * chunk * v, ldc: v, a.floats, lda: k, b.floats, ldb: v, m: chunk,
                                n: v, k: k)
                        }
                    }
                }
                return work / time.median
            }.max() ?? 1
        return (model.ruleTrainingFLOPsPerToken * Double(model.layers * tokens) / rate, rate)
    }

    private static func random(_ cpu: CPUBackend, _ count: Int, seed: UInt64) -> Tensor {
        var random = Random(seed: seed)
        return cpu.tensor((0..<count).map { _ in Float(random.uniform(-1, 1)) }, [count])
    }
}
