import GDNTensor

/// Runs functions one after another on a thread of its own.
final class SerialWorker: Sendable {
    private struct Queue {
        var work: [@Sendable () throws -> Void] = []
        var isBusy = false
        var isEnded = false
        var failure: (any Error)?
    }
    private let queue = Monitor(Queue())
    private let thread: WorkerThread

    /// - Throws: `DataError` when no thread can be started.
    init() throws {
        let queue = queue
        thread = try WorkerThread {
            while true {
                let next = queue.wait { queue -> (@Sendable () throws -> Void)?? in
                    guard let next = queue.work.first else { return queue.isEnded ? .some(nil) : nil }
                    queue.work.removeFirst()
                    queue.isBusy = true
                    return next
                }
                guard let next else { return }
                let result = Result { try next() }
                queue.change { queue in
                    queue.isBusy = false
                    if case .failure(let error) = result {
                        queue.failure = queue.failure ?? error
                        queue.work = []
                    }
                }
            }
        }
    }

    deinit {
        queue.change { $0.isEnded = true }
        thread.join()
    }

    /// Adds a function; waits while several are still to be done.
    func add(_ work: @escaping @Sendable () throws -> Void) {
        queue.wait { queue in
            guard queue.failure == nil else { return () }
            guard queue.work.count < 8 else { return nil }
            queue.work.append(work)
            return ()
        }
    }

    /// Whether nothing is left to do.
    var isIdle: Bool { queue.change { $0.work.isEmpty && !$0.isBusy } }

    /// - Throws: what the first function that failed threw.
    func check() throws {
        if let failure = queue.change({ $0.failure }) { throw failure }
    }

    /// Waits until everything is done.
    /// - Throws: what the first function that failed threw.
    func finish() throws {
        queue.wait { $0.work.isEmpty && !$0.isBusy ? () : nil }
        try check()
    }
}

/// A thread that runs a function and can be waited for.
struct WorkerThread {
    private let thread: pthread_t

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    /// Starts a thread.
    /// - Throws: `DataError` when the system allows no more.
    init(_ run: @escaping @Sendable () -> Void) throws {
        let body = Unmanaged.passRetained(Body(run))
        #if canImport(Darwin)
            var thread: pthread_t?
        #else
            var thread = pthread_t()
        #endif
        let code = pthread_create(&thread, nil, startThread, body.toOpaque())
        #if canImport(Darwin)
            let started = thread
        #else
            let started: pthread_t? = thread
        #endif
        guard code == 0, let started else {
            body.release()
            throw DataError(
                "thread", "cannot be started: \(String(cString: strerror(code)))", advice: "use fewer threads")
        }
        self.thread = started
    }

    /// Waits for its end; once.
    func join() { pthread_join(thread, nil) }

    /// Lets it end by itself.
    func detach() { pthread_detach(thread) }

    #if canImport(Darwin)
        fileprivate static func run(_ pointer: UnsafeMutableRawPointer) {
            Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
        }
    #else
        fileprivate static func run(_ pointer: UnsafeMutableRawPointer?) {
            if let pointer { Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run() }
        }
    #endif
}

#if canImport(Darwin)
    private func startThread(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
        WorkerThread.run(pointer)
        return nil
    }
#else
    private func startThread(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        WorkerThread.run(pointer)
        return nil
    }
#endif
