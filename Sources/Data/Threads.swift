import GDNTensor

/// A value that threads share and wait for changes of.
///
/// A pthread mutex and condition variables, which the thread sanitizer understands.
final class Monitor<Value>: @unchecked Sendable {
    /// Who looks at the value again.
    enum Wake {
        case nobody
        /// One that waits on a condition.
        case one(Int)
        /// All that wait on a condition.
        case every(Int)
        case everybody
    }

    private var value: Value
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let conditions: [UnsafeMutablePointer<pthread_cond_t>]

    /// - Parameter conditions: how many kinds of waiting there are
    init(_ value: Value, conditions count: Int = 1) {
        self.value = value
        mutex = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        pthread_mutex_init(mutex, nil)
        conditions = (0..<count).map { _ in
            let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
            condition.initialize(to: pthread_cond_t())
            pthread_cond_init(condition, nil)
            return condition
        }
    }

    deinit {
        for condition in conditions {
            pthread_cond_destroy(condition)
            condition.deallocate()
        }
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
    }

    /// Runs `body` while no other thread has the value.
    func change<Result>(waking wake: Wake = .everybody, _ body: (inout Value) throws -> Result) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { unlock(wake) }
        return try body(&value)
    }

    /// Runs `body` again whenever the condition's waiters are woken, until it gives a result.
    func wait<Result>(
        on condition: Int = 0, waking wake: Wake = .everybody, _ body: (inout Value) throws -> Result?
    ) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { unlock(wake) }
        while true {
            if let result = try body(&value) { return result }
            pthread_cond_wait(conditions[condition], mutex)
        }
    }

    /// The same for about a time; nil when there was no result. Wakes nobody.
    func wait<Result>(
        on condition: Int, milliseconds: Int, _ body: (inout Value) throws -> Result?
    ) rethrows -> Result? {
        var end = timespec()
        clock_gettime(CLOCK_REALTIME, &end)
        let nanoseconds = Int(end.tv_nsec) + milliseconds * 1_000_000
        end.tv_sec += nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { unlock(.nobody) }
        while true {
            if let result = try body(&value) { return result }
            if pthread_cond_timedwait(conditions[condition], mutex, &end) == ETIMEDOUT { return try body(&value) }
        }
    }

    private func unlock(_ wake: Wake) {
        switch wake {
        case .nobody: break
        case .one(let index): pthread_cond_signal(conditions[index])
        case .every(let index): pthread_cond_broadcast(conditions[index])
        case .everybody: for condition in conditions { pthread_cond_broadcast(condition) }
        }
        pthread_mutex_unlock(mutex)
    }
}

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
