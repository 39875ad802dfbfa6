import GDNData
import GDNTensor
import Testing

@Suite struct AssociativeRecallTests {
    let settings = AssociativeRecall.Settings(vocabulary: 33, length: 40, pairs: 6, queries: 4)

    /// Solves each row by looking up, and expects every answer to be in the row's pairs.
    func check(_ batch: Batch, _ settings: AssociativeRecall.Settings) throws {
        #expect(batch.targetCount == batch.rows * settings.queries && batch.sequences == nil)
        for row in 0..<batch.rows {
            let tokens = Array(batch.tokens[row * batch.length..<(row + 1) * batch.length])
            let targets = Array(batch.targets[row * batch.length..<(row + 1) * batch.length])
            var pairs: [Int32: Int32] = [:]
            for pair in 0..<settings.pairs {
                #expect((1...16).contains(tokens[2 * pair]) && (17...32).contains(tokens[2 * pair + 1]))
                pairs[tokens[2 * pair]] = tokens[2 * pair + 1]
            }
            #expect(pairs.count == settings.pairs, "keys are distinct")
            var asked: Set<Int32> = []
            for (place, target) in targets.enumerated() {
                if target != Batch.ignoredTarget {
                    #expect(
                        place >= 2 * settings.pairs && pairs[tokens[place]] == target && tokens[place + 1] == target)
                    asked.insert(tokens[place])
                } else if place >= 2 * settings.pairs, place == 0 || targets[place - 1] == Batch.ignoredTarget {
                    #expect(tokens[place] == 0)
                }
            }
            #expect(asked.count == settings.queries)
        }
    }

    @Test func answersAreInTheContext() throws {
        var source = try AssociativeRecall(settings, rows: 16, seed: 4)
        for _ in 0..<20 { try check(source.next(), settings) }
        let full = AssociativeRecall.Settings(vocabulary: 33, length: 64, pairs: 16)
        var tight = try AssociativeRecall(full, rows: 16, seed: 4)
        try check(tight.next(), full)
    }

    @Test func rowsDependOnSeedAndPositionAlone() throws {
        var whole = try AssociativeRecall(settings, rows: 6, seed: 4)
        var ranks = try (0..<2).map { try AssociativeRecall(settings, rows: 3, seed: 4, rank: $0, ranks: 2) }
        var seen: Set<[Int32]> = []
        for _ in 0..<10 {
            let batch = whole.next()
            #expect(ranks[0].next().tokens + ranks[1].next().tokens == batch.tokens)
            seen.insert(batch.tokens)
        }
        #expect(seen.count == 10)
        var resumed = try AssociativeRecall(settings, rows: 6, seed: 4)
        try resumed.restore(ranks[0].state)
        #expect(resumed.next() == whole.next())
        var other = try AssociativeRecall(settings, rows: 6, seed: 5)
        #expect(throws: DataError.self) { try other.restore(whole.state) }
        #expect(other.next() != resumed.next())
    }

    @Test func heldOutRowsAreOthersAndStayTheSame() throws {
        var source = try AssociativeRecall(settings, rows: 8, seed: 4)
        let first = try Array(source.batches(rows: 8, length: 40, limit: 100))
        let training = source.next()
        #expect(try Array(source.batches(rows: 8, length: 40, limit: 100)) == first)
        #expect(first.reduce(0) { $0 + $1.rows } == 25 && first[0] != training)
        let long = try Array(source.batches(rows: 8, length: 400, limit: 100))
        var settings = settings
        settings.length = 400
        for batch in long { try check(batch, settings) }
        #expect(throws: DataError.self) { try source.batches(rows: 8, length: 10, limit: 100) }
    }

    @Test func impossibleSettingsAreRefused() {
        for settings: AssociativeRecall.Settings in [
            .init(vocabulary: 2), .init(pairs: 0), .init(pairs: 4, queries: 5), .init(pairs: 4, queries: 0),
            .init(vocabulary: 16, pairs: 8), .init(length: 31, pairs: 8), .init(length: .min, pairs: 8),
            .init(length: -1, pairs: .max),
        ] {
            #expect(throws: DataError.self) { try AssociativeRecall(settings, rows: 1, seed: 0) }
        }
        #expect(throws: DataError.self) { try AssociativeRecall(settings, rows: 0, seed: 0) }
        #expect(throws: DataError.self) { try AssociativeRecall(settings, rows: 1, seed: 0, rank: 1) }
    }
}
