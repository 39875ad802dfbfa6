import GDNTensor
import Testing

import GDNCUDABackend

@Suite struct CUDABackendTests {
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
        #expect(try cuda.download(product).floatArray() == [4.5, 10, 9, 23])
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
