/// Runs `body(0)` to `body(count − 1)`, each once, on up to `threads` threads, and waits for all.
///
/// For work of many milliseconds an item: every call starts threads of its own. Items start in order.
/// - Throws: the error of the first item that threw; items not yet started are then left out.
package func concurrently(_ count: Int, threads: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
    let work = ConcurrentWork(count, body)
    var helpers: [pthread_t] = []
    for _ in 1..<max(1, min(threads, count)) {
        var thread = pthread_t()
        let box = Unmanaged.passRetained(work)
        let status = pthread_create(&thread, nil, runConcurrentWork, box.toOpaque())
        if status == 0 { helpers.append(thread) } else { box.release() }
    }
    work.run()
    for thread in helpers { pthread_join(thread, nil) }
    if let error = work.error { throw error }
}

/// Number of processors of this machine.
package func processorCount() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

private func runConcurrentWork(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let box { Unmanaged<ConcurrentWork>.fromOpaque(box).takeRetainedValue().run() }
    return nil
}

private final class ConcurrentWork: Sendable {
    private let next = Guarded<(index: Int, error: (any Error)?)>((0, nil))
    private let count: Int
    private let body: @Sendable (Int) throws -> Void

    init(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) {
        self.count = count
        self.body = body
    }

    var error: (any Error)? { next.withLock { $0.error } }

    func run() {
        while let index = take() {
            do {
                try body(index)
            } catch {
                next.withLock { $0.error = $0.error ?? error }
            }
        }
    }

    private func take() -> Int? {
        next.withLock { next in
            guard next.index < count, next.error == nil else { return nil }
            defer { next.index += 1 }
            return next.index
        }
    }
}
