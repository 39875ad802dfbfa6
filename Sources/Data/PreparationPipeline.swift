import GDNFormats
import GDNTensor

/// Reads units and tokenises their documents on many threads, and gives out the result in order.
///
///     readers ── chunks of text ── tokenising threads ── chunks of tokens ── the caller, in order
///
/// 1. Readers take the units in order and cut their documents into chunks.
/// 2. Tokenising threads take the earliest chunk there is.
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

    /// Bytes of text between reading and writing.
    private static let textBound = 64 << 20
    /// Units begun before the head is over.
    private static let unitBound = 256
    /// More readers would only hold more buffers: one reads several times as fast as a thread tokenises.
    private static let readerBound = 16

    /// Kinds of waiting for the state to change.
    private enum Waiter {
        static let reader = 0
        static let tokeniser = 1
        static let caller = 2
    }

    private struct Place: Hashable {
        var unit: Int
        var number: Int
    }

    private struct State {
        var head: Int
        var nextUnit: Int
        var text: [Place: TextChunk] = [:]
        var tokens: [Place: TokenChunk] = [:]
        /// Bytes of text of each unit that were read and not yet taken by the caller.
        var bytes: [Int: Int] = [:]
        var allBytes = 0
        var ended: [Int: (chunks: Int, result: DocumentReader.UnitResult)] = [:]
        var failure: (any Error)?
        var isStopped = false
    }

    /// The reading of a unit was given up because the pipeline ended.
    private struct Stopped: Error {}

    private let state: Monitor<State>
    private let plan: PreparationPlan
    private let reader: DocumentReader
    private let encoder: DocumentEncoder
    private let side: DocumentEncoder.Side
    private let chunkBytes: Int
    private let skipped: (unit: Int, documents: Int)
    private let threads: Guarded<[WorkerThread]>

    /// A pipeline that begins at a document of a unit. Call `start`, then `next` until all units are over.
    /// - Parameter side: what happens to the units that are not to hold out as a whole
    init(
        _ plan: PreparationPlan, reader: DocumentReader, encoder: DocumentEncoder, side: DocumentEncoder.Side,
        unit: Int, documents: Int, chunkBytes: Int
    ) {
        self.chunkBytes = chunkBytes
        self.plan = plan
        self.reader = reader
        self.encoder = encoder
        self.side = side
        skipped = (unit, documents)
        state = Monitor(State(head: unit, nextUnit: unit), conditions: 3)
        threads = Guarded([])
    }

    /// Starts as many tokenising threads, and up to as many readers.
    /// - Throws: `DataError` when the system allows no more threads.
    func start(threads count: Int) throws {
        let readers = min(count, Self.readerBound, plan.units.count - skipped.unit)
        for index in 0..<count + readers {
            let thread = try WorkerThread { index < count ? self.tokenise() : self.readUnits() }
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
                return .chunk(chunk)
            }
            guard let end = state.ended[state.head], end.chunks == number else { return nil }
            return .end(end.result)
        }
        if case .end = event {
            state.change(waking: .every(Waiter.reader)) { state in
                state.ended[state.head] = nil
                state.bytes[state.head] = nil
                state.head += 1
            }
        }
        return event
    }

    /// Says that a chunk of the head is written and its memory free.
    func done(_ chunk: TokenChunk) {
        state.change(waking: .every(Waiter.reader)) { state in
            state.bytes[state.head, default: 0] -= chunk.textBytes
            state.allBytes -= chunk.textBytes
        }
    }

    private func readUnits() {
        while true {
            let unit: Int? = state.wait(on: Waiter.reader, waking: .nobody) { state -> Int?? in
                guard !state.isStopped, state.nextUnit < plan.units.count else { return .some(nil) }
                guard state.nextUnit < state.head + Self.unitBound else { return nil }
                defer { state.nextUnit += 1 }
                return state.nextUnit
            }
            guard let unit else { return }
            do {
                try read(unit)
            } catch {
                if !(error is Stopped) { fail(error) }
                return
            }
        }
    }

    private func read(_ unit: Int) throws {
        var chunk = TextChunk()
        var number = 0
        var toSkip = unit == skipped.unit ? skipped.documents : 0
        func submit() throws {
            guard !chunk.documents.isEmpty else { return }
            try self.submit(chunk, Place(unit: unit, number: number))
            number += 1
            chunk = TextChunk()
        }
        var result = try reader.read(plan.units[unit]) { document in
            if toSkip > 0 {
                toSkip -= 1
                return
            }
            if chunk.text.count + document.bytes.count > chunkBytes { try submit() }
            chunk.append(document)
        }
        try submit()
        guard toSkip == 0 else {
            throw DataError(
                plan.units[unit].path, "has fewer documents than were read before",
                advice: "the file changed: begin again with --restart")
        }
        if result.source == nil, plan.units[unit].isFirst {
            result.source = try reader.source(of: plan.units[unit].path)
        }
        let ended = (number, result)
        state.change(waking: .one(Waiter.caller)) { $0.ended[unit] = ended }
    }

    private func submit(_ chunk: TextChunk, _ place: Place) throws {
        let size = chunk.text.count
        try state.wait(on: Waiter.reader, waking: .one(Waiter.tokeniser)) { state in
            if state.isStopped || state.failure != nil { throw Stopped() }
            let head = state.bytes[state.head] ?? 0
            let present = place.unit == state.head ? head : state.allBytes - head
            guard present + size <= Self.textBound / 2 || place.unit == state.head && head == 0 else {
                return nil as Void?
            }
            state.bytes[place.unit, default: 0] += size
            state.allBytes += size
            state.text[place] = chunk
            return ()
        }
    }

    private func tokenise() {
        while true {
            let work: (Place, TextChunk)? = state.wait(on: Waiter.tokeniser, waking: .nobody) {
                state -> (Place, TextChunk)?? in
                guard !state.isStopped, state.failure == nil else { return .some(nil) }
                let earliest = state.text.keys.min { ($0.unit, $0.number) < ($1.unit, $1.number) }
                guard let earliest, let chunk = state.text.removeValue(forKey: earliest) else { return nil }
                return (earliest, chunk)
            }
            guard let (place, chunk) = work else { return }
            do {
                let tokens = try encoder.encode(chunk, place.unit < plan.trainingUnits ? side : .heldOut)
                state.change(waking: .one(Waiter.caller)) { $0.tokens[place] = tokens }
            } catch {
                fail(error)
            }
        }
    }

    private func fail(_ error: any Error) {
        state.change { state in
            if state.failure == nil { state.failure = error }
        }
    }
}
