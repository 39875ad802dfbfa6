/// What a run carries from step to step besides weights and moments.
import GDNData
import GDNTensor

/// `trainer.json`: everything that a resumed run needs and that no tensor holds.
package struct TrainerState: Codable, Equatable {
    /// The best evaluation so far.
    package struct Best: Codable, Equatable {
        /// Step after which it was made.
        package var step: Int
        /// Validation loss at the shortest length, nats a token.
        package var loss: Double
    }

    /// How often things went wrong.
    package struct Counters: Codable, Equatable {
        /// Steps whose gradient was not finite; they changed no parameter.
        package var skipped = 0
        /// Such steps since the last good one.
        package var skippedInARow = 0
    }

    /// Steps done, skipped ones included.
    package var step = 0
    /// Tokens read; the learning rate follows from it.
    package var tokens = 0
    /// Updates of the optimiser.
    package var updates = 0
    /// Position in the data.
    package var data: LoaderState
    /// Draws the samples.
    package var random: Random
    /// Lowest validation loss.
    package var best: Best?
    /// Smoothed training loss.
    package var smoothed = Smoothed()
    /// What went wrong.
    package var counters = Counters()
    /// Seconds of training, over all processes.
    package var seconds = 0.0
}

/// The parts of a run's state. Each is needed: leaving one out changes what follows.
package enum StatePart: String, CaseIterable, Sendable {
    case weights, firstMoments, secondMoments, updates, position, data, random, best, smoothed, counters
}
