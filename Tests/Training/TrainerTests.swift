import GDNTestSupport
import GDNFormats
import Foundation
import GDNAutograd
import GDNData
import GDNOps
import GDNTensor
import GDNTraining
import Testing

/// A small training whose every part can be stopped, stored and compared.
private final class SmallRun: TrainingMonitor {
    let model: BigramModel
    let optimizer: Optimizer
    let trainer: Trainer
    let checkpoint: TrainingCheckpoint
    let stop = StopRequest()
    private(set) var records: [String] = []

    /// - Parameters:
    ///   - seed: of the fresh weights; a resumed run has others, which the checkpoint must replace
    ///   - resume: a checkpoint folder and which parts of it to take
    init(
        _ fixture: TextFixture, into folder: String, steps: Int = 24, seed: UInt64 = 1, accumulation: Int = 2,
        resume: (folder: String, parts: Set<StatePart>)? = nil, poison: Set<Int32> = [], limit: Int = 10,
        evaluationFailsAt: Int? = nil
    ) throws {
        model = try BigramModel(seed: seed)
        model.poison = poison
        optimizer = try Optimizer(
            model.parameters, on: model.backend, configuration: AdamWConfiguration(weightDecay: 0.1), clip: 0.5)
        let checkpoint = TrainingCheckpoint(parameters: model.parameters, optimizer: optimizer, backend: model.backend)
        self.checkpoint = checkpoint
        var source = try fixture.loader()
        var state = TrainerState(data: source.state, random: Random(seed: 11))
        if let resume {
            try checkpoint.restore(resume.folder, into: &state, parts: resume.parts)
            try source.restore(state.data)
        }
        var plan = TrainingPlan(
            totalSteps: steps,
            schedule: Schedule(
                kind: .cosine, peak: 0.02, warmupTokens: 600, totalTokens: steps * 128, minimumRatio: 0.1))
        plan.accumulation = accumulation
        plan.evaluateEvery = 4
        plan.sampleEvery = 5
        plan.nonFiniteLimit = limit
        var components = Trainer.Components(step: TrainingStep(model: model, optimizer: optimizer), source: source)
        // Lowest at step 8, so that later evaluations are best only for who has forgotten it.
        components.evaluate = { step in
            if step == evaluationFailsAt { throw TrainingError("no evaluation at step \(step)") }
            return [EvaluationRecord(step: step, length: 32, tokens: 1, loss: step == 8 ? 1 : 2 + 1 / Double(step))]
        }
        components.sample = { step, random in [.sample(step: step, prompt: "", text: "\(random.next())")] }
        components.stop = stop
        let store = CheckpointStore(folder: folder)
        let log = SaveLog()
        components.save = { state in
            try store.write(step: state.step, files: checkpoint.files(state))
            log.steps.append(state.step)
        }
        saveLog = log
        let relay = Relay()
        components.monitor = relay
        trainer = Trainer(plan: plan, components: components, state: state)
        relay.target = self
    }

    private final class SaveLog { var steps: [Int] = [] }
    private let saveLog: SaveLog
    var savedSteps: [Int] { saveLog.steps }

    private final class Relay: TrainingMonitor {
        weak var target: SmallRun?
        func stepped(
            _ state: TrainerState, _ result: TrainingStep.Result, learningRate: Double, seconds: Double, isLogged: Bool
        ) throws {
            target?.stepped(state, result, learningRate: learningRate, seconds: seconds, isLogged: isLogged)
        }
        func record(_ records: [MetricsRecord]) throws { target?.record(records) }
    }

    /// Steps after which a stop is asked for.
    var stopAfter: Int?

    func stepped(
        _ state: TrainerState, _ result: TrainingStep.Result, learningRate: Double, seconds: Double, isLogged: Bool
    ) {
        records.append(
            "step \(state.step) \(state.tokens) \(result.loss) \(result.gradientNorm) \(learningRate) "
                + "\(state.smoothed.value ?? -1) \(state.counters.skipped)")
        if state.step == stopAfter { stop.request() }
    }

    func record(_ records: [MetricsRecord]) {
        for record in records { self.records.append("\(record)") }
    }

    /// Everything that may differ between two runs, but the time they took.
    func fingerprint() throws -> [String] {
        var state = trainer.state
        state.seconds = 0
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let json = String(decoding: try encoder.encode(state), as: UTF8.self)
        let tensors = model.parameters.map(\.value) + optimizer.firstMoments + optimizer.secondMoments
        let bits = tensors.map { tensor in "\(tensor.floatArray().map(\.bitPattern))" }
        return records + [json, "\(optimizer.updates)"] + bits
    }
}

@Suite struct TrainerTests {
    private static let poison: Set<Int32> = [Int32(UInt8(ascii: "d")), Int32(UInt8(ascii: "v"))]

    private func straight(_ fixture: TextFixture, _ folder: String) throws -> SmallRun {
        let run = try SmallRun(fixture, into: folder, poison: Self.poison)
        #expect(try run.trainer.run() == .finished)
        return run
    }

    /// Steps 1…k, stored; then objects of a new process, with other fresh weights, take `parts` and go on.
    private func inTwo(_ fixture: TextFixture, at k: Int, parts: Set<StatePart>) throws -> [String] {
        let folder = TemporaryFolder()
        let first = try SmallRun(fixture, into: folder.root, poison: Self.poison)
        first.stopAfter = k
        #expect(try first.trainer.run() == .interrupted)
        #expect(first.trainer.state.step == k)
        let path = CheckpointStore(folder: folder.root).path(step: k)
        let second = try SmallRun(
            fixture, into: folder.root, seed: 99, resume: (path, parts), poison: Self.poison)
        #expect(try second.trainer.run() == .finished)
        return first.records + (try second.fingerprint())
    }

    @Test func theFixtureExercisesWhatItClaims() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let run = try straight(fixture, folder.root)
        #expect(run.trainer.state.data.epoch >= 1)
        #expect(run.trainer.state.counters.skipped > 0)
        #expect(run.trainer.state.updates < 24)
        #expect(run.trainer.state.best?.step == 8)
        #expect(run.savedSteps == [4, 8, 24])
    }

    @Test(arguments: [1, 5, 9, 13, 20])
    func resumingIsBitExact(k: Int) throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let expected = try straight(fixture, folder.root).fingerprint()
        let found = try inTwo(fixture, at: k, parts: Set(StatePart.allCases))
        #expect(found == expected)
    }

    /// The test of the test: with any one part of the state left out, the comparison above fails.
    @Test(arguments: StatePart.allCases)
    func leavingOutAnyPartOfTheStateIsNoticed(part: StatePart) throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let expected = try straight(fixture, folder.root).fingerprint()
        let found = try inTwo(fixture, at: 13, parts: Set(StatePart.allCases).subtracting([part]))
        #expect(found != expected)
    }

    @Test func aStopInsideAnAccumulationWindowFinishesTheWindow() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let run = try SmallRun(fixture, into: folder.root, accumulation: 3)
        var forwards = 0
        run.model.willRun = {
            forwards += 1
            if forwards == 7 { run.stop.request() }
        }
        #expect(try run.trainer.run() == .interrupted)
        #expect(forwards == 9)
        #expect(run.trainer.state.step == 3)
        #expect(run.trainer.state.tokens == 9 * 64)
        #expect(run.savedSteps == [3])
    }

    /// The last step's work once was lost when the evaluation behind it failed.
    @Test func aFailingLastEvaluationLosesNothing() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let run = try SmallRun(fixture, into: folder.root, evaluationFailsAt: 24)
        #expect(throws: TrainingError("no evaluation at step 24")) { try run.trainer.run() }
        #expect(run.savedSteps == [4, 8, 24])
        #expect(try TrainingCheckpoint.state(CheckpointStore(folder: folder.root).path(step: 24)).step == 24)
    }

    @Test func aStopBeforeTheFirstStepWritesNothing() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let run = try SmallRun(fixture, into: folder.root)
        run.stop.request()
        #expect(try run.trainer.run() == .interrupted)
        #expect(run.savedSteps.isEmpty)
    }

    @Test func stepsWithoutAFiniteGradientChangeNothingAndStopTheRunAtTheLimit() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let all = Set((0..<256).map(Int32.init))
        let run = try SmallRun(fixture, into: folder.root, poison: all, limit: 3)
        let before = run.model.parameters.map { $0.value.floatArray() }
        #expect { try run.trainer.run() } throws: { error in
            error is TrainingError && "\(error)".contains("step 3: no finite gradient in 3 steps in a row")
        }
        #expect(run.model.parameters.map { $0.value.floatArray() } == before)
        #expect(run.trainer.state.counters == TrainerState.Counters(skipped: 3, skippedInARow: 3))
        #expect(run.optimizer.updates == 0)
    }

    @Test func accumulationEqualsOneLargeBatch() throws {
        let fixture = try TextFixture()
        var source = try fixture.loader()
        let batches = try [source.next(), source.next()]
        let joined = Batch(
            rows: 4, length: 32, tokens: batches.flatMap(\.tokens), targets: batches.flatMap(\.targets))
        func result(_ batches: [Batch]) throws -> (TrainingStep.Result, [[Float]]) {
            let model = try BigramModel(seed: 1)
            let optimizer = try Optimizer(
                model.parameters, on: model.backend, configuration: AdamWConfiguration(), clip: 1)
            let result = try TrainingStep(model: model, optimizer: optimizer).run(batches, learningRate: 0.01)
            return (result, model.parameters.map { $0.value.floatArray() })
        }
        let (one, oneWeights) = try result([joined])
        let (two, twoWeights) = try result(batches)
        #expect(abs(one.loss - two.loss) < 1e-6)
        #expect(abs(one.gradientNorm - two.gradientNorm) < 1e-6)
        for (a, b) in zip(oneWeights, twoWeights) {
            #expect(zip(a, b).allSatisfy { abs($0 - $1) < 2e-6 })
        }
    }

    /// Every wanted target counts the same, in whichever micro-batch it is: 1 target beside 31 weighs 1/32.
    @Test func targetsWeighTheSameWhereverTheyAre() throws {
        let fixture = try TextFixture()
        var source = try fixture.loader()
        let batch = try source.next()
        func masked(_ keep: (Int) -> Bool, rows: Int, of batch: Batch) -> Batch {
            let count = rows * 32
            return Batch(
                rows: rows, length: 32, tokens: Array(batch.tokens[..<count]),
                targets: (0..<count).map { keep($0) ? batch.targets[$0] : Batch.ignoredTarget })
        }
        let model = try BigramModel(seed: 1)
        func loss(_ batches: [Batch]) throws -> Double {
            let optimizer = try Optimizer(
                model.parameters, on: model.backend, configuration: AdamWConfiguration(), clip: nil)
            return try TrainingStep(model: model, optimizer: optimizer).run(batches, learningRate: 0).loss
        }
        let first = masked({ $0 == 0 }, rows: 1, of: batch)
        let rest = masked({ $0 != 0 }, rows: 1, of: batch)
        let both = masked({ _ in true }, rows: 1, of: batch)
        #expect(abs(try loss([first, rest]) - loss([both])) < 1e-6)
        let nothing = masked({ _ in false }, rows: 1, of: batch)
        #expect(abs(try loss([both, nothing]) - loss([both])) < 1e-9)
    }

    @Test func weightDecayIsForMatricesOnly() throws {
        let model = try BigramModel(seed: 1)
        let optimizer = try Optimizer(
            model.parameters, on: model.backend, configuration: AdamWConfiguration(weightDecay: 0.5), clip: nil)
        let before = model.parameters.map { $0.value.floatArray() }
        for parameter in model.parameters {
            try parameter.accumulate(on: model.backend) { buffer, _ in
                for index in 0..<buffer.count { buffer.floats[index] = 0 }
            }
        }
        _ = try optimizer.step(learningRate: 0.1, gradientScale: 1)
        for (parameter, old) in zip(model.parameters, before) {
            let factor: Float = parameter.decays ? 0.95 : 1
            #expect(zip(parameter.value.floatArray(), old).allSatisfy { abs($0 - $1 * factor) < 1e-7 })
        }
    }

    @Test func aCheckpointOfAnotherModelIsRefused() throws {
        let fixture = try TextFixture()
        let folder = TemporaryFolder()
        let run = try SmallRun(fixture, into: folder.root, steps: 1)
        _ = try run.trainer.run()
        let path = CheckpointStore(folder: folder.root).path(step: 1)
        let backend = run.model.backend
        let other = [Parameter("norm.weight", try backend.zeros([9]), decays: false)]
        let optimizer = try Optimizer(other, on: backend, configuration: AdamWConfiguration(), clip: nil)
        let checkpoint = TrainingCheckpoint(parameters: other, optimizer: optimizer, backend: backend)
        var state = run.trainer.state
        #expect { try checkpoint.restore(path, into: &state, parts: Set(StatePart.allCases)) } throws: { error in
            error is CheckpointError && "\(error)".contains("model.safetensors")
        }
    }
}

/// Signals go to a whole process, so each of these tests has one of its own: what a signal does there is not done to the
/// processes that other tests start meanwhile.
@Suite(.timeLimit(.minutes(30))) struct SignalTests {
    private static func becomesAStopRequest(_ number: Int32) {
        let stop = StopRequest(onSignals: true)
        #expect(!stop.isRequested)
        kill(getpid(), number)
        while !stop.isRequested { usleep(1000) }
        #expect(!StopRequest().isRequested)
    }

    @Test func aSignalBecomesAStopRequest() async {
        await #expect(processExitsWith: .success) { Self.becomesAStopRequest(SIGINT) }
        await #expect(processExitsWith: .success) { Self.becomesAStopRequest(SIGTERM) }
        await #expect(processExitsWith: .success) { Self.becomesAStopRequest(SIGPIPE) }
    }

    /// A server that ignores SIGPIPE must go on ignoring it after a training.
    @Test func whatASignalDidBeforeComesBack() async {
        await #expect(processExitsWith: .success) {
            _ = signal(SIGPIPE, SIG_IGN)
            do {
                let stop = StopRequest(onSignals: true)
                withExtendedLifetime(stop) {}
            }
            kill(getpid(), SIGPIPE)
        }
    }
}
