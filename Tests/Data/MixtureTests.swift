import GDNData
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct MixtureTests {
    let folder = TemporaryFolder()

    /// Three sources whose tokens tell where they come from: 0 …, 10,000 …, 20,000 ….
    func sources(_ weights: [Double] = [0.7, 0.2, 0.1], _ lengths: [Int] = [900, 80, 200]) throws
        -> [MixtureLoader.Source]
    {
        try weights.indices.map { index in
            let half = lengths[index] / 2
            let stream = try folder.stream(
                [half, lengths[index] - half], from: Int32(index * 10_000), name: "\(index).tokens")
            return .init(name: "source \(index)", stream: stream, weight: weights[index])
        }
    }

    func origins(_ batch: Batch) -> [Int] {
        stride(from: 0, to: batch.tokenCount, by: batch.length).map { Int(batch.tokens[$0]) / 10_000 }
    }

    /// After any number of rows no source is a whole row away from its share.
    @Test(arguments: [
        [0.7, 0.2, 0.1], [1, 1], [5], [1, 2, 3, 4, 5, 6], [0.999, 0.001], [3, 3, 3, 1e-3],
        [0.123456789, 0.31, 0.5, 0.0665], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
    ])
    func everyBeginningHasTheWantedShares(_ weights: [Double]) throws {
        var schedule = try MixtureSchedule(weights: weights)
        let total = weights.reduce(0, +)
        var counts = weights.map { _ in 0 }
        for row in 1...20_000 {
            counts[schedule.next()] += 1
            for (count, weight) in zip(counts, weights) {
                let distance = abs(Double(count) - weight / total * Double(row))
                guard distance < 1 - 1e-9 || weights.count == 2 && distance < 1 else {
                    Issue.record("\(counts) after \(row) rows")
                    return
                }
            }
        }
        #expect(counts.allSatisfy { $0 > 0 })
    }

    @Test func decimalWeightsAreExact() throws {
        #expect(try MixtureSchedule(weights: [0.7, 0.2, 0.1]).weights == [7, 2, 1])
        #expect(try MixtureSchedule(weights: [70, 20, 10]).weights == [7, 2, 1])
        #expect(try MixtureSchedule(weights: [0.5]).weights == [1])
        for bad in [[], [0, 1], [-1, 2], [.nan], [.infinity, 1], [1, 1e-7]] {
            #expect(throws: DataError.self) { try MixtureSchedule(weights: bad) }
        }
    }

    @Test func rowsComeInTheirShares() throws {
        var loader = try MixtureLoader(sources(), .init(rows: 4, length: 9, seed: 3))
        var seen = [0, 0, 0]
        for _ in 0..<250 {
            let batch = try loader.next()
            #expect(batch.tokenCount == 36 && batch.sequences?.last == 36)
            for origin in origins(batch) { seen[origin] += 1 }
        }
        #expect(seen == [700, 200, 100])
        // The second source has 8 windows and gave 200 rows: 25 passes, each window once a pass.
        #expect(loader.state.parts?[1].epoch == 25 && loader.state.parts?[1].position == 0)
        #expect(loader.state.position == 1000)
    }

    /// Every pass over a source gives each of its windows once, whatever the other sources do.
    @Test func passesOfEachSourceLoseNothing() throws {
        var loader = try MixtureLoader(sources(), .init(rows: 5, length: 9, resets: false, seed: 3))
        var starts: [[Int32]] = [[], [], []]
        for _ in 0..<100 {
            let batch = try loader.next()
            for row in 0..<5 { starts[Int(batch.tokens[row * 9]) / 10_000].append(batch.tokens[row * 9]) }
        }
        for (source, windows) in [(0, 99), (1, 8), (2, 22)] {
            #expect(starts[source].count > windows)
            for pass in 0..<starts[source].count / windows {
                let seen = starts[source][pass * windows..<(pass + 1) * windows]
                let first = try #require(seen.min())
                #expect(seen.sorted() == (0..<Int32(windows)).map { first + $0 * 9 })
            }
        }
    }

    /// The rows of all ranks together are those of one process with as many rows.
    @Test func ranksShareTheRows() throws {
        let sources = try sources()
        var single = try MixtureLoader(sources, .init(rows: 6, length: 9, seed: 3))
        var ranks = try (0..<3).map {
            try MixtureLoader(sources, .init(rows: 2, length: 9, seed: 3, rank: $0, ranks: 3))
        }
        for _ in 0..<40 {
            let parts = try ranks.indices.flatMap { try ranks[$0].next().tokens }
            #expect(try single.next().tokens == parts)
            #expect(ranks.allSatisfy { $0.state == single.state })
        }
    }

    @Test func resumedMixtureContinuesExactly() throws {
        let settings = PackedLoader.Settings(rows: 3, length: 9, seed: 5)
        var straight = try MixtureLoader(sources(), settings)
        let expected = try (0..<60).map { _ in try straight.next() }
        for pause in [0, 1, 7, 23, 59] {
            var first = try MixtureLoader(sources(), settings)
            for _ in 0..<pause { _ = try first.next() }
            var second = try MixtureLoader(sources(), settings)
            try second.restore(first.state)
            #expect(second.state == first.state)
            #expect(try (pause..<60).map { _ in try second.next() } == Array(expected[pause...]))
        }
    }

    @Test func foreignStatesAreRefused() throws {
        var loader = try MixtureLoader(sources(), .init(rows: 3, length: 9, seed: 5))
        for _ in 0..<10 { _ = try loader.next() }
        let good = loader.state
        for change in [
            { (state: inout LoaderState) in state.seed = 6 }, { $0.parts = nil }, { $0.parts?.removeLast() },
            { $0.position += 1 }, { $0.parts?[1].position = 8 }, { $0.parts?[0].position -= 1 },
            { $0.parts?[0].epoch = .max / 2 }, { $0.parts?[0].source = "other" },
            {
                $0.parts?[0].position -= 9
                $0.parts?[2].position += 9
            },
        ] {
            var state = good
            change(&state)
            #expect(throws: DataError.self) { try loader.restore(state) }
            #expect(loader.state == good)
        }
        var other = try MixtureLoader(sources([0.6, 0.3, 0.1]), .init(rows: 3, length: 9, seed: 5))
        #expect(throws: DataError.self) { try other.restore(good) }
        #expect(throws: DataError.self) {
            try MixtureLoader(sources([1, 1], [900, 5]), .init(rows: 3, length: 9))
        }
        #expect(throws: DataError.self) { try MixtureLoader([], .init(rows: 3, length: 9)) }
    }

    @Test func sourcesOfOtherTokenizersAreRefused() throws {
        let one = try TokenStream([folder.shard([[1, 2, 3, 4]], vocabulary: 10, name: "one")])
        let two = try TokenStream([folder.shard([[1, 2, 3, 4]], vocabulary: 11, name: "two")])
        #expect(throws: DataError.self) {
            try MixtureLoader(
                [.init(name: "one", stream: one, weight: 1), .init(name: "two", stream: two, weight: 1)],
                .init(rows: 1, length: 2))
        }
    }
}
