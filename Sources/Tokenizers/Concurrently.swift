import GDNTensor

/// Work shared out among threads of its own: nothing here depends on the pool of the CPU backend.
package enum Concurrently {
    /// Number of processors that are online.
    package static var processors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Runs `body` for each job, in any order, and returns when all are done.
    /// - Parameters:
    ///   - jobs: numbered 0 ..< jobs
    ///   - threads: at most this many at a time, the caller's among them; fewer where the system allows no more
    package static func run(_ jobs: Int, threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
        let queue = Guarded(0)
        let work: @Sendable () -> Void = {
            while true {
                let job = queue.withLock { next in
                    defer { next += 1 }
                    return next
                }
                guard job < jobs else { return }
                body(job)
            }
        }
        var handles: [pthread_t] = []
        for _ in 1..<max(1, min(threads, jobs)) {
            let box = Unmanaged.passRetained(Work(work))
            #if canImport(Darwin)
                var handle: pthread_t?
            #else
                var handle = pthread_t()
            #endif
            guard pthread_create(&handle, nil, start, box.toOpaque()) == 0 else {
                box.release()
                break
            }
            #if canImport(Darwin)
                if let handle { handles.append(handle) }
            #else
                handles.append(handle)
            #endif
        }
        work()
        for handle in handles { pthread_join(handle, nil) }
    }

    fileprivate final class Work {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
}

#if canImport(Darwin)
    private func start(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        Unmanaged<Concurrently.Work>.fromOpaque(pointer).takeRetainedValue().run()
        return nil
    }
#else
    private func start(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        if let pointer { Unmanaged<Concurrently.Work>.fromOpaque(pointer).takeRetainedValue().run() }
        return nil
    }
#endif
