import GDNTensor

/// Working memory that calls borrow: each thread gets what it used last, when that is free.
///
/// Tables of words that were met lately are megabytes large. Handed to whichever thread asked next, they would move from
/// one core's cache to another's with every short text.
package final class ScratchPool<Scratch>: Sendable {
    private let idle = Guarded<[(thread: UInt, scratch: Scratch)]>([])

    /// An empty pool.
    package init() {}

    /// Takes out what this thread gave back last, else what another one did; nil when all are in use.
    package func take() -> Scratch? {
        let thread = Self.thread
        return idle.withLock { idle in
            let own = idle.lastIndex { $0.thread == thread }
            return (own ?? idle.indices.last).map { idle.remove(at: $0).scratch }
        }
    }

    /// Gives back what is not used any more.
    package func give(_ scratch: Scratch) {
        let thread = Self.thread
        idle.withLock { $0.append((thread, scratch)) }
    }

    private static var thread: UInt {
        #if canImport(Darwin)
            UInt(bitPattern: pthread_self())
        #else
            UInt(pthread_self())
        #endif
    }
}
