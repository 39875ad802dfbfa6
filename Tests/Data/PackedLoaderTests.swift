import GDNData
import GDNFormats
import GDNTensor
import GDNTestSupport
import Testing

@Suite struct PackedLoaderTests {
    let folder = TemporaryFolder()

    /// Documents of these lengths whose tokens count 0, 1, 2, … through the whole stream, in two shards.
    func stream(_ lengths: [Int]) throws -> TokenStream {
        var next: Int32 = 0
        let documents = lengths.map { length in
            (0..<length).map { _ in
                defer { next += 1 }
                return next
            }
        }
        let half = documents.count / 2
        return try TokenStream(
            [documents[..<half], documents[half...]].filter { !$0.isEmpty }.enumerated().map { number, part in
                let path = folder.path("\(number).tokens")
                let identity = String(repeating: "0", count: 64)
                let writer = try TokenShardWriter(path, vocabularySize: 100_000, tokenizer: identity)
                for document in part { try writer.append(document, textBytes: document.count) }
                try writer.finish()
                return try TokenShard(path)
            })
    }

    @Test func targetsFollowTokens() throws {
        var loader = try PackedLoader(stream([40, 60]), .init(rows: 3, length: 8, resets: false, seed: 1))
        for _ in 0..<20 {
            let batch = try loader.next()
            #expect(batch.rows == 3 && batch.length == 8 && batch.sequences == nil && batch.targetCount == 24)
            #expect(zip(batch.tokens, batch.targets).allSatisfy { $1 == $0 + 1 })
        }
    }

    @Test func boundariesAreWhereDocumentsBegin() throws {
        var loader = try PackedLoader(stream([5, 1, 7, 4, 3, 1]), .init(rows: 2, length: 10, shuffle: false))
        let batch = try loader.next()
        #expect(batch.tokens == Array(0..<20))
        // Documents begin at 0, 5, 6, 13, 17 and 20; rows at 0 and 10.
        #expect(batch.sequences == [0, 5, 6, 10, 13, 17, 20])
        let crossing: Set<Int32> = [4, 5, 12, 16, 19]
        #expect(batch.targets == (0..<20).map { crossing.contains($0) ? Batch.ignoredTarget : $0 + 1 })
        #expect(batch.targetCount == 15)
    }

    /// Each pass gives out each window once; what is left out at the ends is less than a window.
    @Test(arguments: [(1, 1), (2, 3), (5, 1), (7, 2)])
    func passesLoseAndDoubleNothing(_ rows: Int, _ ranks: Int) throws {
        let stream = try stream([100, 3, 250, 1, 60, 99])
        let length = 9
        var loaders = try (0..<ranks).map {
            try PackedLoader(stream, .init(rows: rows, length: length, resets: false, seed: 7, rank: $0, ranks: ranks))
        }
        let windows = loaders[0].windowCount
        #expect(windows == 512 / 9 && loaders[0].tokensPerEpoch == windows * 9)
        var starts: [Int32] = []
        while starts.count < 4 * windows {
            for rank in loaders.indices {
                let batch = try loaders[rank].next()
                starts += stride(from: 0, to: batch.tokenCount, by: length).map { batch.tokens[$0] }
            }
            #expect(Set(loaders.map { "\($0.state)" }).count == 1)
        }
        var orders: Set<[Int32]> = []
        for pass in 0..<4 {
            let seen = starts[pass * windows..<(pass + 1) * windows]
            let first = try #require(seen.min())
            #expect(seen.sorted() == (0..<Int32(windows)).map { first + $0 * Int32(length) })
            #expect(first >= 0 && Int(first) <= 512 - windows * length)
            orders.insert(Array(seen))
        }
        #expect(orders.count == 4)
    }

    @Test func resumedLoaderContinuesExactly() throws {
        let stream = try stream([30, 40, 50, 5])
        let settings = PackedLoader.Settings(rows: 3, length: 7, seed: 5)
        var straight = try PackedLoader(stream, settings)
        let expected = try (0..<40).map { _ in try straight.next() }
        for pause in [0, 1, 5, 6, 17, 39] {
            var first = try PackedLoader(stream, settings)
            for _ in 0..<pause { _ = try first.next() }
            var second = try PackedLoader(stream, settings)
            try second.restore(first.state)
            #expect(second.state == first.state)
            #expect(try (pause..<40).map { _ in try second.next() } == Array(expected[pause...]))
        }
        var wider = settings
        wider.rows = 5
        var other = try PackedLoader(stream, wider)
        try other.restore(LoaderState(source: other.state.source, seed: 5, epoch: 1, position: 2))
        #expect(other.state.position == 2)
    }

    @Test func foreignStatesAreRefused() throws {
        let data = try stream([50, 50])
        let settings = PackedLoader.Settings(rows: 2, length: 8, seed: 5)
        var loader = try PackedLoader(data, settings)
        let good = loader.state
        for (change, part) in [
            ({ (state: inout LoaderState) in state.seed = 6 }, "seed 6"), ({ $0.source += "x" }, "belongs to"),
            ({ $0.position = 12 }, "beyond the 12 rows"), ({ $0.position = -1 }, "negative"),
            ({ $0.epoch = -1 }, "negative"),
        ] {
            var state = good
            change(&state)
            let error = #expect(throws: DataError.self) { try loader.restore(state) }
            #expect(error?.description.contains(part) == true, "\(error?.description ?? "")")
        }
        #expect(loader.state == good)
        var longer = settings
        longer.length = 9
        #expect(try PackedLoader(data, longer).state.source != good.source)
        #expect(throws: DataError.self) { try PackedLoader(data, .init(rows: 1, length: 100)) }
        #expect(throws: DataError.self) { try PackedLoader(data, .init(rows: 0, length: 8)) }
        #expect(throws: DataError.self) { try PackedLoader(data, .init(rows: 1, length: 8, rank: 1)) }
        #expect(throws: DataError.self) { try PackedLoader(data, .init(rows: .max, length: 8)) }
        #expect(try PackedLoader(data, .init(rows: 1, length: 99)).windowCount == 1)
    }

    @Test(arguments: [1, 3, 7, 10, 99, 100, 1000])
    func evaluationScoresEveryTargetOnce(_ length: Int) throws {
        let stream = try stream([40, 1, 59])
        let evaluation = PackedEvaluation(stream, resets: false)
        let batches = try Array(evaluation.batches(rows: 4, length: length, limit: nil))
        #expect(batches.flatMap(\.targets) == Array(1..<100))
        #expect(batches.allSatisfy { $0.rows <= 4 && $0.length <= length })
        let kept = try PackedEvaluation(stream).batches(rows: 4, length: length, limit: nil).flatMap(\.targets)
        #expect(kept.filter { $0 != Batch.ignoredTarget } == (1..<100).filter { $0 != 40 && $0 != 41 })
        let few = try evaluation.batches(rows: 4, length: length, limit: 20).flatMap(\.targets)
        #expect(few == Array(1...Int32(min(99, (20 + length - 1) / length * length))))
    }

    @Test func evaluationRefusesNothing() throws {
        #expect(throws: DataError.self) { try PackedEvaluation(stream([1])).batches(rows: 1, length: 1, limit: nil) }
        #expect(throws: DataError.self) { try PackedEvaluation(stream([9])).batches(rows: 0, length: 1, limit: nil) }
    }

    @Test func windowOrderIsABijection() {
        for count in [1, 2, 3, 4, 5, 16, 17, 1000, 4097] {
            let order = WindowOrder(count: count, seed: 3, stream: 0)
            let all = (0..<count).map { order[$0] }
            #expect(all.sorted() == Array(0..<count))
            if count >= 16 { #expect(all != WindowOrder(count: count, seed: 3, stream: 2).elements) }
        }
        // Far from the order of the stream: neighbours are a third of the range apart on average.
        let all = WindowOrder(count: 10_000, seed: 1, stream: 0).elements
        let distance = zip(all, all.dropFirst()).reduce(0.0) { $0 + Double(abs($1.0 - $1.1)) } / 9999
        #expect(abs(distance - 3333) < 150)
    }
}

extension WindowOrder {
    fileprivate var elements: [Int] { (0..<count).map { self[$0] } }
}
