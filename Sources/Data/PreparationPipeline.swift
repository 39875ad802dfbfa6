import GDNFormats
import GDNTensor

/// Reads units and tokenises their documents on several threads, and gives out the result in order.
///
///     units ── chunks of text ── chunks of tokens ── the caller, in order
///
/// 1. A thread takes the next unit and cuts its documents into chunks. Whenever enough chunks are waiting it stops reading
///    and tokenises the earliest one: its text is still in the processor's cache then, and there are never more threads
///    than processors.
/// 2. A thread without a unit tokenises the earliest chunk there is.
/// 3. The caller takes chunk after chunk of unit after unit; the unit it is at is the head.
///
/// What is between reading and the caller is bounded in bytes of text: half of the bound for the head, half for all
/// others, so that the others can never keep the head from going on.
final class PreparationPipeline: Sendable {
    /// What comes next in order.
    enum Event {
        case chunk(TokenChunk)
        /// The unit is over.
        case end(DocumentReader.UnitResult)
    }

    /// Bytes of text between reading and writing: some chunks a thread, 64 MiB at least.
    private let textBound: Int
    /// Units begun before the head is over.
    private static let unitBound = 256
    /// More readers would only hold more buffers: one reads several times as fast as a thread tokenises.
    private static let readerBound = 16

    /// Chunks that wait until the caller is woken for them: each time it takes a processor from a thread that works, with
    /// what that has in the cache. (It looks for itself ten times a second, and is woken at a unit's end.)
    private static let wakeChunks = 4

    /// Kinds of waiting for the state to change.
    private enum Waiter {
        static let worker = 0
        static let caller = 1
    }

    /// What a thread does next.
    private enum Work {
        case read(unit: Int)
        case tokenise(Place, TextChunk)
    }

    private struct Place: Hashable {
        var unit: Int
        var number: Int
    }

    private struct State {
        var head: Int
        var nextUnit: Int
        /// Units that are being read.
        var readers = 0
        var text: [Place: TextChunk] = [:]
        var tokens: [Place: TokenChunk] = [:]
        /// Bytes of text that the head's `tokens` stand for.
        var waiting = 0
        /// Bytes of text of each unit that were read and not yet taken by the caller.
        var bytes: [Int: Int] = [:]
        var allBytes = 0
        var ended: [Int: (chunks: Int, result: DocumentReader.UnitResult)] = [:]
        var failure: (any Error)?
        var isStopped = false

        var isOver: Bool { isStopped || failure != nil }

        /// Takes out the earliest chunk of text.
        mutating func takeText() -> Work? {
            let earliest = text.keys.min { ($0.unit, $0.number) < ($1.unit, $1.number) }
            guard let earliest, let chunk = text.removeValue(forKey: earliest) else { return nil }
            return .tokenise(earliest, chunk)
        }
    }

    /// The reading of a unit was given up because the pipeline ended.
    private struct Stopped: Error {}

    private let state: Monitor<State>
    private let plan: PreparationPlan
    private let reader: DocumentReader
    private let encoder: DocumentEncoder
    private let side: DocumentEncoder.Side
    private let chunkBytes: Int
    private let threadCount: Int
    private let skipped: (unit: Int, documents: Int)
    private let threads: Guarded<[WorkerThread]>
    private let checksums = SourceChecksums()
    /// Chunks that were tokenised or written, the last one at the end: their memory has pages and may be in the processor's cache still.
    private let idle = Guarded<(text: [TextChunk], tokens: [TokenChunk])>(([], []))

    /// A pipeline that begins at a document of a unit. Call `start`, then `next` until all units are over.
    /// - Parameters:
    ///   - side: what happens to the units that are not to hold out as a whole
    ///   - threads: how many read and tokenise, at least 1
    init(
        _ plan: PreparationPlan, reader: DocumentReader, encoder: DocumentEncoder, side: DocumentEncoder.Side,
        unit: Int, documents: Int, chunkBytes: Int, threads: Int
    ) {
        self.chunkBytes = chunkBytes
        threadCount = threads
        textBound = max(64 << 20, 8 * threads * chunkBytes)
        self.plan = plan
        self.reader = reader
        self.encoder = encoder
        self.side = side
        skipped = (unit, documents)
        state = Monitor(State(head: unit, nextUnit: unit), conditions: 2)
        self.threads = Guarded([])
    }

    /// Starts the threads.
    /// - Throws: `DataError` when the system allows no more threads.
    func start() throws {
        for _ in 0..<threadCount {
            let thread = try WorkerThread { self.work() }
            threads.withLock { $0.append(thread) }
        }
    }

    /// Ends all threads.
    /// - Parameter waiting: until they have ended; a reader of a silent pipe would never
    func stop(waiting: Bool) {
        state.change { $0.isStopped = true }
        let all = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        for thread in all {
            if waiting { thread.join() } else { thread.detach() }
        }
    }

    /// What comes next in the head; nil when nothing has come for a while. The end of a unit makes the next one the head.
    /// - Parameter number: chunks of the head taken so far
    /// - Throws: what a thread threw.
    func next(_ number: Int) throws -> Event? {
        let event: Event? = try state.wait(on: Waiter.caller, milliseconds: 100) { state in
            if let failure = state.failure { throw failure }
            if let chunk = state.tokens.removeValue(forKey: Place(unit: state.head, number: number)) {
                state.waiting -= chunk.textBytes
                return .chunk(chunk)
            }
            guard let end = state.ended[state.head], end.chunks == number else { return nil }
            return .end(end.result)
        }
        if case .end = event {
            state.change(waking: .every(Waiter.worker)) { state in
                state.ended[state.head] = nil
                state.bytes[state.head] = nil
                state.head += 1
                state.waiting = state.tokens.reduce(0) { $0 + ($1.key.unit == state.head ? $1.value.textBytes : 0) }
            }
        }
        return event
    }

    /// Says that a chunk of the head is written; its memory is used again, so nobody may look at it any more.
    func done(_ chunk: TokenChunk) {
        state.change(waking: .every(Waiter.worker)) { state in
            state.bytes[state.head, default: 0] -= chunk.textBytes
            state.allBytes -= chunk.textBytes
        }
        guard chunk.textBytes <= 2 * chunkBytes else { return }
        idle.withLock { idle in
            if idle.tokens.count < 2 * Self.wakeChunks { idle.tokens.append(chunk) }
        }
    }

    private func work() {
        while true {
            let work: Work? = state.wait(on: Waiter.worker, waking: .nobody) { state -> Work?? in
                if state.isOver { return .some(nil) }
                let mayRead =
                    state.nextUnit < min(plan.units.count, state.head + Self.unitBound)
                    && state.readers < Self.readerBound
                if mayRead, state.text.count < threadCount {
                    defer { state.nextUnit += 1 }
                    state.readers += 1
                    return .read(unit: state.nextUnit)
                }
                if let work = state.takeText() { return work }
                return state.nextUnit == plan.units.count && state.readers == 0 ? .some(nil) : nil
            }
            guard let work else { return }
            do {
                switch work {
                case .read(let unit):
                    try read(unit)
                    state.change(waking: .every(Waiter.worker)) { $0.readers -= 1 }
                case .tokenise(let place, let chunk): try tokenise(place, chunk)
                }
            } catch {
                if !(error is Stopped) { fail(error) }
                return
            }
        }
    }

    private func read(_ unit: Int) throws {
        let isParquet = plan.units[unit].format == .parquet
        if isParquet { try checksums.begin(plan.units[unit].path) }
        var chunk = emptyChunk()
        var number = 0
        var toSkip = unit == skipped.unit ? skipped.documents : 0
        func submit() throws {
            guard !chunk.documents.isEmpty else { return }
            try self.submit(chunk, Place(unit: unit, number: number))
            number += 1
            chunk = emptyChunk()
        }
        var result = try reader.read(plan.units[unit]) { document in
            if toSkip > 0 {
                toSkip -= 1
                return
            }
            if chunk.text.count + document.bytes.count > chunkBytes { try submit() }
            chunk.append(document, expecting: chunkBytes)
        }
        try submit()
        guard toSkip == 0 else {
            throw DataError(
                plan.units[unit].path, "has fewer documents than were read before",
                advice: "the file changed: begin again with --restart")
        }
        if isParquet, plan.isLast(unit) { result.checksum = try checksums.take(plan.units[unit].path) }
        let ended = (number, result)
        state.change(waking: .one(Waiter.caller)) { $0.ended[unit] = ended }
    }

    /// Hands over a chunk; while there is no room for it, and then while enough others are waiting, tokenises.
    private func submit(_ chunk: TextChunk, _ place: Place) throws {
        let size = chunk.text.count
        var isHandedOver = false
        while true {
            let work: Work? = try state.wait(on: Waiter.worker, waking: .one(Waiter.worker)) { state -> Work?? in
                if state.isOver { throw Stopped() }
                if !isHandedOver {
                    let head = state.bytes[state.head] ?? 0
                    let present = place.unit == state.head ? head : state.allBytes - head
                    if present + size <= textBound / 2 || place.unit == state.head && head == 0 {
                        isHandedOver = true
                        state.bytes[place.unit, default: 0] += size
                        state.allBytes += size
                        state.text[place] = chunk
                    }
                }
                if isHandedOver, state.text.count < 2 * threadCount { return .some(nil) }
                // (A missing chunk means waiting, not the end.)
                if let work = state.takeText() { return work }
                return nil
            }
            guard case .tokenise(let place, let chunk) = work else { return }
            try tokenise(place, chunk)
        }
    }

    private func tokenise(_ place: Place, _ chunk: TextChunk) throws {
        let used = idle.withLock { $0.tokens.popLast() }
        let tokens = try encoder.encode(chunk, place.unit < plan.trainingUnits ? side : .heldOut, reusing: used)
        recycle(chunk)
        let isEnough = state.change(waking: .nobody) { state in
            state.tokens[place] = tokens
            guard place.unit == state.head else { return false }
            state.waiting += tokens.textBytes
            return state.waiting >= Self.wakeChunks * chunkBytes || state.ended[place.unit] != nil
        }
        if isEnough { state.change(waking: .one(Waiter.caller)) { _ in } }
    }

    private func emptyChunk() -> TextChunk { idle.withLock { $0.text.popLast() } ?? TextChunk() }

    /// Keeps a chunk for later, if it is of ordinary size and no more are kept than threads have in use.
    private func recycle(_ chunk: TextChunk) {
        guard chunk.capacity <= 2 * chunkBytes else { return }
        chunk.clear()
        idle.withLock { idle in
            if idle.text.count < 2 * threadCount { idle.text.append(chunk) }
        }
    }

    private func fail(_ error: any Error) {
        state.change { state in
            if state.failure == nil { state.failure = error }
        }
    }
}
