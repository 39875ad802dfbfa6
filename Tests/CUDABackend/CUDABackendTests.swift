import GDNTensor
import Testing

import GDNCUDABackend

@Suite(.serialized) struct CUDABackendTests {
    @Test func missingLibraryNamesPlacesAndRemedy() {
        let error = #expect(throws: BackendError.self) {
            try SharedLibrary(title: "the test library", names: ["libnothing-of-that-name.so.7"], remedy: "install it")
        }
        #expect(error?.message.contains("the test library not found") == true)
        #expect(error?.message.contains("libnothing-of-that-name.so.7") == true)
        #expect(error?.message.contains("the loader's path") == true)
        #expect(error?.message.hasSuffix("install it") == true)
    }

    @Test func missingFunctionIsATypedError() throws {
        let library = try SharedLibrary(title: "the C library", names: ["libc.so.6"], remedy: "none")
        #expect(throws: BackendError.self) {
            let _: @convention(c) () -> Int32 = try library.function("no_function_of_that_name")
        }
    }

    /// With a GPU: sums, conversions and a product against the same arithmetic here. Without one: the error's sentence.
    @Test func backendComputesOrExplains() throws {
        let cuda: CUDABackend
        do {
            cuda = try CUDABackend()
        } catch let error as BackendError {
            #expect(error.message.contains("--device cpu") || error.message.contains("install"))
            return
        }
        let a: [Float] = [1, 2, 3, 4, 5, 6]
        let b: [Float] = [0.5, -1, 2, 0, 1, 3]
        let (x, y) = (try cuda.upload(Tensor(host: a, [2, 3])), try cuda.upload(Tensor(host: b, [2, 3])))
        #expect(try cuda.download(cuda.sum(x, y)).floatArray() == zip(a, b).map { $0 + $1 })
        #expect(try cuda.download(cuda.convert(x, to: .bfloat16)).floatArray() == a)
        let product = try cuda.zeros([2, 2])
        try cuda.matmul(product, x, y, transposeB: true, m: 2, n: 2, k: 3)
        #expect(try cuda.download(product).floatArray() == [4.5, 11, 9, 23])
    }

    /// With a GPU: sums and conversions of counts that are no multiple of a vector, of tensors that do not start at one.
    @Test func elementwiseKernelsTakeAnyCountAndAddress() throws {
        guard let cuda = try? CUDABackend() else { return }
        for count in [1, 7, 8, 1003, 70_001] {
            for start in [0, 1] {
                let (a, b) = (eighths(count + start, seed: 1), eighths(count + start, seed: 2))
                let x = try cuda.upload(Tensor(host: a, [a.count])).slice(start..<a.count)
                let y = try cuda.upload(Tensor(host: b, [b.count])).slice(start..<b.count)
                let sums = zip(a, b).map { $0 + $1 }[start...]
                #expect(try cuda.download(cuda.sum(x, y)).floatArray() == Array(sums))
                let half = try cuda.convert(x, to: .bfloat16)
                #expect(try cuda.download(cuda.convert(half, to: .float32)).floatArray() == Array(a[start...]))
                try cuda.add(into: half, half)
                try cuda.add(into: y, half)
                #expect(try cuda.download(y).floatArray() == zip(a, b).map { 2 * $0 + $1 }.suffix(count))
                try cuda.scale(y, by: 0.5, into: y)
                #expect(try cuda.download(y).floatArray() == zip(a, b).map { $0 + 0.5 * $1 }.suffix(count))
            }
        }
    }

    @Test func sumsOverRows() throws {
        guard let cuda = try? CUDABackend() else { return }
        for (rows, columns) in [(1, 5), (3, 300), (55, 33), (513, 12), (1056, 20)] {
            let values = eighths(rows * columns, seed: 3)
            let sums = try cuda.download(cuda.sumRows(cuda.upload(Tensor(host: values, [rows, columns])))).floatArray()
            let expected = (0..<columns).map { column in
                stride(from: column, to: values.count, by: columns).reduce(Float(0)) { $0 + values[$1] }
            }
            #expect(sums == expected)
        }
    }

    /// With a GPU: products with 16 rows or columns at ragged sizes. Operands are such that float32 sums are exact.
    @Test func narrowProductsAreExact() throws {
        guard let cuda = try? CUDABackend() else { return }
        for (rows, width) in [(5, 8), (37, 72), (100, 264), (1003, 520)] {
            let (x, weight, dy) = (
                eighths(rows * width, seed: 4), eighths(16 * width, seed: 5), eighths(rows * 16, seed: 6)
            )
            func upload(_ values: [Float], _ shape: Shape) throws -> Tensor {
                try cuda.convert(cuda.upload(Tensor(host: values, shape)), to: .bfloat16)
            }
            let (inputs, weights) = (try upload(x, [rows, width]), try upload(weight, [16, width]))
            let upstream = try upload(dy, [rows, 16])

            let y = try cuda.empty([rows, 16])
            try cuda.matmul(y, inputs, weights, transposeB: true, m: rows, n: 16, k: width, alpha: 2)
            let forward = product(rows, 16, width) { r, o, d in 2 * x[r * width + d] * weight[o * width + d] }
            #expect(try cuda.download(y).floatArray() == forward)

            let dWeight = try cuda.empty([16, width])
            try cuda.matmul(dWeight, upstream, transposeA: true, inputs, m: 16, n: width, k: rows)
            let ofWeight = product(16, width, rows) { o, d, r in dy[r * 16 + o] * x[r * width + d] }
            #expect(try cuda.download(dWeight).floatArray() == ofWeight)

            // Rounded to bfloat16, without and with what is there.
            let ofInput = product(rows, width, 16) { r, d, o in dy[r * 16 + o] * weight[o * width + d] }
            for beta in [Float(0), 1] {
                let dx = try upload(x, [rows, width])
                try cuda.matmul(dx, upstream, weights, m: rows, n: width, k: 16, beta: beta)
                let expected = zip(ofInput, x).map { $0 + beta * $1 }
                let rounded = try cuda.convert(cuda.upload(Tensor(host: expected, [rows, width])), to: .bfloat16)
                #expect(try cuda.download(dx).floatArray() == cuda.download(rounded).floatArray())
            }
        }
    }

    /// Multiples of 1/8 from −1 to 1.
    private func eighths(_ count: Int, seed: UInt64) -> [Float] {
        var random = Random(seed: seed)
        return (0..<count).map { _ in Float(random.index(below: 17) - 8) / 8 }
    }

    /// Σ_k term(row, column, k), row by row.
    private func product(_ rows: Int, _ columns: Int, _ count: Int, _ term: (Int, Int, Int) -> Float) -> [Float] {
        (0..<rows * columns).map { i in
            Float((0..<count).reduce(0.0) { $0 + Double(term(i / columns, i % columns, $1)) })
        }
    }

    @Test func doctorHasALineForEachPart() {
        let items = inspectCUDA().map(\.item)
        #expect(items.contains("driver"))
        #expect(items.contains("NVRTC"))
        #expect(items.contains("cuBLASLt"))
    }

    @Test func noSuchDeviceIsATypedError() {
        #expect(throws: BackendError.self) { try CUDABackend(deviceIndex: 99) }
    }
}
