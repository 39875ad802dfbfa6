/// Runs `body(0)` to `body(count − 1)`, each once, on up to `threads` threads, the caller's among them, and waits for all.
///
/// For work of many milliseconds an item: every call starts threads of its own (fewer where the system allows no more).
/// Items start in order.
/// - Throws: the error of the first item that threw; items not yet started are then left out.
package func concurrently<Failure: Error>(
    _ count: Int, threads: Int, _ body: @escaping @Sendable (Int) throws(Failure) -> Void
) throws(Failure) {
    let state = Guarded<(next: Int, failure: Failure?)>((0, nil))
    let work = ThreadWork {
        while true {
            let index = state.withLock { state -> Int? in
                guard state.next < count, state.failure == nil else { return nil }
                defer { state.next += 1 }
                return state.next
            }
            guard let index else { return }
            do throws(Failure) {
                try body(index)
            } catch {
                state.withLock { $0.failure = $0.failure ?? error }
            }
        }
    }
    var helpers: [pthread_t] = []
    for _ in 1..<max(1, min(threads, count)) {
        guard let helper = work.start() else { break }
        helpers.append(helper)
    }
    work.run()
    for helper in helpers { pthread_join(helper, nil) }
    if let failure = state.withLock({ $0.failure }) { throw failure }
}

/// Number of processors that are online.
package func processorCount() -> Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

private final class ThreadWork: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }

    /// Runs on another thread as well; nil when there is none to be had.
    func start() -> pthread_t? {
        let box = Unmanaged.passRetained(self)
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        guard pthread_create(&thread, nil, runThreadWork, box.toOpaque()) == 0 else {
            box.release()
            return nil
        }
        return thread
    }
}

#if canImport(Darwin)
    private func runThreadWork(_ box: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        Unmanaged<ThreadWork>.fromOpaque(box).takeRetainedValue().run()
        return nil
    }
#else
    private func runThreadWork(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        if let box { Unmanaged<ThreadWork>.fromOpaque(box).takeRetainedValue().run() }
        return nil
    }
#endif
