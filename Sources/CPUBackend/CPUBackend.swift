import GDNCPUKernels
import GDNTensor

/// Computation in main memory: memory, threads and matrix products. It knows no operation by name.
///
/// Calls from several threads are safe and take turns.
public final class CPUBackend: @unchecked Sendable {
    /// Number of threads that work on one operation.
    public let threadCount: Int
    /// Where tensors' memory comes from.
    package let memory: CPUMemory
    /// What computes large matrix products.
    let products: MatrixProducts
    private let pool: OpaquePointer?

    /// A backend of its own threads.
    /// - Parameters:
    ///   - threads: number of threads, at least 1; all processors this process may use when nil
    ///   - matrixProducts: what computes matrix products; nil reads the environment variable `GDN_BLAS`
    ///     (`automatic`, `oneDNN`, `openBLAS`, `builtIn`) and is automatic without it, or when it names none of these
    ///     (`MatrixProductLibrary.fromEnvironment` tells)
    ///   - cacheLimit: bytes of freed memory that are kept for the next tensor; half of the machine's memory when nil
    ///   - poison: fill fresh memory with NaN and put guard bytes around it (for tests: finds reads of what nobody
    ///     wrote and writes past an end)
    public init(
        threads: Int? = nil, matrixProducts: MatrixProductLibrary? = nil, cacheLimit: Int? = nil, poison: Bool = false
    ) {
        pool = gdn_pool_create(Int32(clamping: max(1, threads ?? CPUBackend.availableCores)))
        threadCount = Int(gdn_pool_threads(pool))
        memory = CPUMemory(cacheLimit: cacheLimit ?? CPUBackend.physicalMemory / 2, poison: poison)
        products = MatrixProducts(matrixProducts ?? (try? MatrixProductLibrary.fromEnvironment()) ?? .automatic)
    }

    deinit {
        gdn_pool_destroy(pool)
    }

    /// Processors that this process may run on.
    package static var availableCores: Int { Int(gdn_available_cores()) }

    /// The machine's memory in bytes.
    package static var physicalMemory: Int {
        max(1, Int(sysconf(Int32(_SC_PHYS_PAGES)))) * max(4096, Int(sysconf(Int32(_SC_PAGESIZE))))
    }

    /// The instruction set that the kernels use here: `AVX-512`, `AVX2` or `baseline`.
    package static var simdLevel: String {
        switch gdn_simd_level() {
        case 4: "AVX-512"
        case 3: "AVX2"
        default: "baseline"
        }
    }

    /// Runs `body` for every task in 0..<count on all threads; returns when all are done.
    ///
    /// Which thread runs a task is not determined, so a task must write only what no other task reads or writes.
    /// Called from inside a task it runs there, on that thread alone.
    package func parallel(_ count: Int, _ body: (Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var context = body
            withUnsafeMutablePointer(to: &context) { pointer in
                gdn_pool_run(
                    pool, count,
                    { context, task, _ in
                        guard let context else { return }
                        context.assumingMemoryBound(to: ((Int) -> Void).self).pointee(task)
                    }, pointer)
            }
        }
    }

    /// Whether the calling thread is inside a task, so that what it asks for runs on it alone.
    package var isInTask: Bool { gdn_pool_in_task() != 0 }

    /// Splits 0..<count into pieces of at least `grain` and runs `body` on each, on all threads.
    ///
    /// The pieces depend on the number of threads: `body` must compute each element in the same way in any piece.
    package func parallel(_ count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
        let pieces = max(1, min(threadCount * 4, count / max(1, grain)))
        if pieces == 1 || threadCount == 1 || isInTask { return body(0..<count) }
        parallel(pieces) { piece in
            body(count * piece / pieces..<count * (piece + 1) / pieces)
        }
    }
}
