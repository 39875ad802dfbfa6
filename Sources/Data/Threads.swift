import GDNTensor

/// A value that threads share and wait for changes of.
///
/// A pthread mutex and condition variable, which the thread sanitizer understands.
final class Monitor<Value>: @unchecked Sendable {
    private var value: Value
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    init(_ value: Value) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        condition = .allocate(capacity: 1)
        condition.initialize(to: pthread_cond_t())
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        condition.deallocate()
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` while no other thread has the value, and wakes all that wait.
    func change<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        return try body(&value)
    }

    /// Runs `body` again after every change until it gives a result.
    func wait<Result>(_ body: (inout Value) throws -> Result?) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(condition)
            pthread_mutex_unlock(mutex)
        }
        while true {
            if let result = try body(&value) { return result }
            pthread_cond_wait(condition, mutex)
        }
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
