/// The language models of this package as the trainer sees them.
import GDNModels

extension LanguageModel: TrainableModel {
    /// Forward and twice as much for the backward.
    package var trainingFLOPsPerToken: Double { 3 * configuration.forwardFLOPsPerToken }
}
