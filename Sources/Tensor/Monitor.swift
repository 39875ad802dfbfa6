/// A value that threads share and wait for changes of.
///
/// A pthread mutex and condition variables, which the thread sanitizer understands.
package final class Monitor<Value>: @unchecked Sendable {
    /// Who looks at the value again.
    package enum Wake {
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
    package init(_ value: Value, conditions count: Int = 1) {
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
    package func change<Result>(
        waking wake: Wake = .everybody, _ body: (inout Value) throws -> Result
    ) rethrows -> Result {
        pthread_mutex_lock(mutex)
        defer { unlock(wake) }
        return try body(&value)
    }

    /// Runs `body` again whenever the condition's waiters are woken, until it gives a result.
    package func wait<Result>(
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
    package func wait<Result>(
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
