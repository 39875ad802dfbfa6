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

    /// Multiples of 1/8 from −1 to 1.
    private func eighths(_ count: Int, seed: UInt64) -> [Float] {
        var random = Random(seed: seed)
        return (0..<count).map { _ in Float(random.index(below: 17) - 8) / 8 }
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
