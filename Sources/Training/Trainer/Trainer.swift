/// The training loop: it calls the components in order and owns nothing but the state between steps.
import GDNData
import GDNTensor

/// A run that had to stop; says after which step, why and what to do.
public struct TrainingError: Error, CustomStringConvertible, Equatable, Sendable {
    /// One sentence.
    public let message: String

    /// An error with its sentence.
    public init(_ message: String) {
        self.message = message
    }

    /// The sentence.
    public var description: String { message }
}

/// How a run ended without an error.
public enum TrainingOutcome: Sendable, Equatable {
    /// All steps are done.
    case finished
    /// A stop was asked for; a checkpoint of the last step was written.
    case interrupted
}

/// When the trainer does what; all intervals in steps, 0 = only at the end (samples: never).
package struct TrainingPlan: Sendable, Equatable {
    /// Steps of the whole run.
    package var totalSteps: Int
    /// Micro-batches in a step.
    package var accumulation = 1
    /// Learning rate by tokens.
    package var schedule: Schedule
    /// Steps between evaluations.
    package var evaluateEvery = 0
    /// Steps between samples.
    package var sampleEvery = 0
    /// Steps between logged records.
    package var logEvery = 1
    /// Steps between checkpoints.
    package var checkpointEvery = 0
    /// Whether an evaluation better than all before it is followed by a checkpoint.
    package var keepBest = true
    /// Steps without a finite gradient in a row that stop the run.
    package var nonFiniteLimit = 10

    /// A plan of this many steps.
    package init(totalSteps: Int, schedule: Schedule) {
        self.totalSteps = totalSteps
        self.schedule = schedule
    }

    /// The plan of a recipe.
    package init(_ recipe: Recipe) {
        self.init(totalSteps: recipe.totalSteps, schedule: Schedule(recipe))
        accumulation = recipe.training.accumulation
        evaluateEvery = recipe.training.evaluateEvery
        sampleEvery = recipe.training.sampleEvery
        logEvery = recipe.training.logEvery
        checkpointEvery = recipe.checkpoint.every
        keepBest = recipe.checkpoint.keepBest
        nonFiniteLimit = recipe.training.nonFiniteLimit
    }
}

/// Trains a model. One step:
/// 1. read the micro-batches of an accumulation window
/// 2. forward, backward, update (`TrainingStep`); a step without a finite gradient changes no parameter and is counted
/// 3. log, evaluate, sample, checkpoint, each when it is due
/// 4. look whether a stop was asked for
package final class Trainer {
    /// What the trainer calls. Evaluations and samples do not change the model.
    package struct Components {
        /// Runs an optimiser step.
        package var step: TrainingStep
        /// Training batches.
        package var source: any BatchSource
        /// Held-out losses after a step.
        package var evaluate: (_ step: Int) throws -> [EvaluationRecord] = { _ in [] }
        /// Samples after a step.
        package var sample: (_ step: Int, _ random: inout Random) throws -> [MetricsRecord] = { _, _ in [] }
        /// Writes a checkpoint.
        package var save: (TrainerState) throws -> Void = { _ in }
        /// Receives what happens.
        package var monitor: any TrainingMonitor = SilentMonitor()
        /// Asked between steps.
        package var stop = StopRequest()

        /// The two components that every training needs.
        package init(step: TrainingStep, source: any BatchSource) {
            self.step = step
            self.source = source
        }
    }

    /// Where the run stands.
    package private(set) var state: TrainerState
    private let plan: TrainingPlan
    private var components: Components
    private var lastSaved: Int?

    /// A trainer at a state: a fresh one, or that of a checkpoint. The source must stand where the state says.
    package init(plan: TrainingPlan, components: Components, state: TrainerState) {
        self.plan = plan
        self.components = components
        self.state = state
        lastSaved = state.step > 0 ? state.step : nil
    }

    /// Trains until the plan's end or a stop request.
    /// - Throws: `TrainingError` after too many steps without a finite gradient; whatever a component throws.
    package func run() throws -> TrainingOutcome {
        while state.step < plan.totalSteps {
            if components.stop.isRequested { return try interrupted() }
            try advance()
        }
        return .finished
    }

    private func advance() throws {
        let start = ContinuousClock.now
        let batches = try (0..<plan.accumulation).map { _ in try components.source.next() }
        let waiting = (ContinuousClock.now - start) / .seconds(1)
        let tokens = state.tokens + batches.reduce(0) { $0 + $1.tokenCount }
        let learningRate = plan.schedule.learningRate(tokens: tokens)
        var result = try components.step.run(batches, learningRate: learningRate)
        result.waiting = waiting
        state.step += 1
        state.tokens = tokens
        state.data = components.source.state
        count(result)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        state.seconds += seconds
        let isLast = state.step == plan.totalSteps
        try components.monitor.stepped(
            state, result, learningRate: learningRate, seconds: seconds,
            isLogged: isDue(plan.logEvery) || isLast || !result.updated)
        let failing = state.counters.skippedInARow >= plan.nonFiniteLimit
        if failing { throw nonFinite() }
        // The last step's weights are safe before an evaluation that may fail; what it changes is saved after it.
        if isLast { try save() }
        let improved = isDue(plan.evaluateEvery) || isLast ? try evaluate() : false
        if isDue(plan.sampleEvery) { try components.monitor.record(components.sample(state.step, &state.random)) }
        let changed = improved || isDue(plan.sampleEvery)
        if isLast ? changed : isDue(plan.checkpointEvery) || (improved && plan.keepBest) { try save() }
    }

    private func isDue(_ interval: Int) -> Bool { interval > 0 && state.step % interval == 0 }

    private func count(_ result: TrainingStep.Result) {
        if result.updated {
            state.updates += 1
            state.smoothed.add(result.loss)
            state.counters.skippedInARow = 0
        } else {
            state.counters.skipped += 1
            state.counters.skippedInARow += 1
        }
    }

    /// Evaluates; returns whether the loss at the shortest length is the lowest so far.
    private func evaluate() throws -> Bool {
        let start = ContinuousClock.now
        let records = try components.evaluate(state.step)
        state.seconds += (ContinuousClock.now - start) / .seconds(1)
        try components.monitor.record(records.map { .evaluation($0) })
        guard let shortest = records.min(by: { $0.length < $1.length }), shortest.loss.isFinite else { return false }
        if let best = state.best, best.loss <= shortest.loss { return false }
        state.best = TrainerState.Best(step: state.step, loss: shortest.loss)
        return true
    }

    private func save() throws {
        try components.save(state)
        lastSaved = state.step
    }

    private func interrupted() throws -> TrainingOutcome {
        if lastSaved != state.step, state.step > 0 { try save() }
        return .interrupted
    }

    private func nonFinite() -> TrainingError {
        TrainingError(
            "step \(state.step): no finite gradient in \(state.counters.skippedInARow) steps in a row; "
                + "lower optimizer.lr, lengthen schedule.warmup_tokens or resume from an earlier checkpoint with --resume PATH"
        )
    }
}
