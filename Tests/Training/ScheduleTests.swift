import GDNTraining
import Testing

@Suite struct ScheduleTests {
    private func schedule(_ kind: Recipe.ScheduleKind) -> Schedule {
        Schedule(kind: kind, peak: 1e-3, warmupTokens: 100, totalTokens: 1100, minimumRatio: 0.1)
    }

    @Test(arguments: Recipe.ScheduleKind.allCases)
    func risesInAStraightLineToThePeak(kind: Recipe.ScheduleKind) {
        #expect(schedule(kind).learningRate(tokens: 0) == 0)
        #expect(abs(schedule(kind).learningRate(tokens: 25) - 0.25e-3) < 1e-12)
        #expect(abs(schedule(kind).learningRate(tokens: 100) - 1e-3) < 1e-12)
    }

    @Test func fallsAsItsKindSays() {
        #expect(schedule(.constant).learningRate(tokens: 5000) == 1e-3)
        for kind in [Recipe.ScheduleKind.linear, .cosine] {
            #expect(abs(schedule(kind).learningRate(tokens: 600) - 0.55e-3) < 1e-12)
            #expect(abs(schedule(kind).learningRate(tokens: 1100) - 1e-4) < 1e-12)
            #expect(abs(schedule(kind).learningRate(tokens: 9999) - 1e-4) < 1e-12)
        }
        #expect(abs(schedule(.linear).learningRate(tokens: 350) - 0.775e-3) < 1e-12)
        // 1e-4 + 9e-4 (1 + cos(π/4)) / 2
        #expect(abs(schedule(.cosine).learningRate(tokens: 350) - 8.681980515e-4) < 1e-12)
    }

    @Test func withoutWarmUpTheFirstStepIsNearThePeak() {
        let schedule = Schedule(kind: .cosine, peak: 1, warmupTokens: 0, totalTokens: 1000, minimumRatio: 0)
        #expect(schedule.learningRate(tokens: 1) > 0.9999)
    }

    @Test func recipeLengthInTokensRoundsUpToSteps() throws {
        let recipe = try Recipe.parse("data: {length: 10, batch: 3}\ntraining: {tokens: 100, accumulation: 2}")
        #expect(recipe.tokensPerStep == 60)
        #expect(recipe.totalSteps == 2)
        #expect(Schedule(recipe).totalTokens == 120)
    }
}
