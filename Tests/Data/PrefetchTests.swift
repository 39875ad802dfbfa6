import GDNData
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct PrefetchTests {
    let folder = TemporaryFolder()

    /// A source that counts, takes its time, and fails at a set batch.
    struct Slow: BatchSource {
        var state = LoaderState(source: "slow", seed: 0)
        let made: Guarded<Int>
        var microseconds: UInt32 = 0
        var failing = Int.max
        var tokensPerEpoch: Int? { 77 }

        mutating func next() throws -> Batch {
            if microseconds > 0 { usleep(microseconds) }
            guard state.position != failing else {
                throw DataError("slow", "fails at \(failing)", advice: "nothing")
            }
            made.withLock { $0 += 1 }
            defer { state.position += 1 }
            return Batch(rows: 1, length: 1, tokens: [Int32(state.position)], targets: [0])
        }

        mutating func restore(_ state: LoaderState) throws {
            guard state.source == "slow" else { throw DataError("slow", "other", advice: "nothing") }
            self.state = state
        }
    }

    @Test(arguments: [1, 2, 5])
    func batchesAndPositionsAreTheSources(_ depth: Int) throws {
        let stream = try folder.stream([50, 3, 70, 90])
        let settings = PackedLoader.Settings(rows: 3, length: 8, seed: 2)
        var plain = try PackedLoader(stream, settings)
        let ahead = PrefetchedSource(try PackedLoader(stream, settings), depth: depth)
        #expect(ahead.tokensPerEpoch == plain.tokensPerEpoch)
        for step in 0..<50 {
            #expect(ahead.state == plain.state)
            #expect(try ahead.next() == plain.next())
            if step % 7 == 0 { usleep(2000) }
        }
        let other = PrefetchedSource(try PackedLoader(stream, settings), depth: depth)
        _ = try other.next()
        try other.restore(ahead.state)
        for _ in 0..<20 { #expect(try other.next() == plain.next()) }
        #expect(other.state == plain.state)
    }

    /// No more than `depth` batches are made beyond those consumed, however long nobody asks.
    @Test(.timeLimit(.minutes(30))) func readingAheadIsBounded() throws {
        let made = Guarded(0)
        let ahead = PrefetchedSource(Slow(made: made), depth: 3)
        #expect(made.withLock { $0 } == 0)
        for consumed in 1...5 {
            #expect(try ahead.next().tokens == [Int32(consumed - 1)])
            usleep(20_000)
            #expect(made.withLock { $0 } <= consumed + 3)
        }
        wait(for: 8, of: made)
        #expect(made.withLock { $0 } == 8 && ahead.state.position == 5)
    }

    /// Waits until so many batches are made, however busy the machine is; if they never are, the test's time limit ends it.
    func wait(for count: Int, of made: Guarded<Int>) {
        while made.withLock({ $0 }) < count { usleep(500) }
    }

    /// Batches are made while the consumer computes: by the time it asks, the next ones are there.
    @Test(.timeLimit(.minutes(30))) func makingAndUsingOverlap() throws {
        let made = Guarded(0)
        let ahead = PrefetchedSource(Slow(made: made, microseconds: 2000), depth: 2)
        for consumed in 1...10 {
            #expect(try ahead.next().tokens == [Int32(consumed - 1)])
            // Nobody asks meanwhile.
            wait(for: consumed + 2, of: made)
        }
    }

    @Test func failuresComeAtTheirPlace() throws {
        let ahead = PrefetchedSource(Slow(made: Guarded(0), failing: 4), depth: 3)
        for _ in 0..<4 { _ = try ahead.next() }
        #expect(throws: DataError.self) { try ahead.next() }
        #expect(throws: DataError.self) { try ahead.next() }
        #expect(ahead.state.position == 4)
        #expect(throws: DataError.self) { try ahead.restore(LoaderState(source: "x", seed: 0)) }
        try ahead.restore(LoaderState(source: "slow", seed: 0, position: 6))
        #expect(try ahead.next().tokens == [6])
    }

    /// Sources given up in the middle of reading leave no thread behind that uses them.
    @Test func unusedSourcesEnd() throws {
        let made = Guarded(0)
        for _ in 0..<50 {
            let ahead = PrefetchedSource(Slow(made: made), depth: 2)
            _ = try ahead.next()
        }
        let before = made.withLock { $0 }
        usleep(20_000)
        #expect(made.withLock { $0 } == before)
    }
}
