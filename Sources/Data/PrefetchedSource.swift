import GDNTensor

/// A batch source that makes the next batches on a thread of its own while the present one is computed on.
///
/// Batches and positions are those of the source it reads from: `state` is where the next consumed batch begins,
/// however many are ready.
public final class PrefetchedSource: BatchSource {
    private struct Queue {
        var source: any BatchSource
        var ready: [(batch: Batch, after: LoaderState)] = []
        var consumed: LoaderState
        /// What the source threw behind the batches that are ready.
        var failure: (any Error)?
        var thread: WorkerThread?
        var isStopped = false
    }

    /// Input tokens until everything has been seen once; nil when batches never repeat.
    public let tokensPerEpoch: Int?
    private let queue: Monitor<Queue>
    private let depth: Int

    /// A source read ahead of its use; the thread starts with the first batch.
    /// - Parameters:
    ///   - source: where batches come from
    ///   - depth: most batches ready at a time, at least 1
    public init(_ source: any BatchSource, depth: Int) {
        tokensPerEpoch = source.tokensPerEpoch
        self.depth = max(1, depth)
        queue = Monitor(Queue(source: source, consumed: source.state))
    }

    deinit { stop() }

    /// The position of the batch that `next` would give now.
    public var state: LoaderState { queue.change { $0.consumed } }

    /// The next batch; waits when it is not ready.
    /// - Throws: what the source threw when it made this batch, and `DataError` when no thread can be started.
    public func next() throws -> Batch {
        try queue.change { queue in
            if queue.thread == nil { queue.thread = try start() }
        }
        return try queue.wait { queue in
            if queue.ready.isEmpty {
                if let failure = queue.failure { throw failure }
                return nil
            }
            let item = queue.ready.removeFirst()
            queue.consumed = item.after
            return item.batch
        }
    }

    /// Goes to a position; batches made ahead are dropped.
    /// - Throws: `DataError` when the state belongs to other data or other settings.
    public func restore(_ state: LoaderState) throws {
        let before = self.state
        stop()
        try queue.change { queue in
            queue.ready = []
            queue.failure = nil
            queue.isStopped = false
            do {
                try queue.source.restore(state)
            } catch {
                try queue.source.restore(before)
                throw error
            }
            queue.consumed = state
        }
    }

    private func stop() {
        let thread = queue.change { queue in
            queue.isStopped = true
            defer { queue.thread = nil }
            return queue.thread
        }
        thread?.join()
    }

    private func start() throws -> WorkerThread {
        let (queue, depth) = (queue, depth)
        return try WorkerThread {
            while true {
                // The source is taken out while a batch is made, so that a consumer never waits for the lock.
                let source: (any BatchSource)? = queue.wait { queue -> (any BatchSource)?? in
                    if queue.isStopped { return .some(nil) }
                    return queue.ready.count < depth ? .some(queue.source) : nil
                }
                guard var source else { return }
                let batch = Result { try source.next() }
                queue.change { queue in
                    queue.source = source
                    switch batch {
                    case .success(let batch): queue.ready.append((batch, source.state))
                    case .failure(let error):
                        queue.failure = error
                        queue.isStopped = true
                    }
                }
            }
        }
    }
}
