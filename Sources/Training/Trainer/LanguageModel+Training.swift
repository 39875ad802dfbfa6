/// The language models of this package as the trainer sees them.
import GDNModels

extension LanguageModel: TrainableModel {
    /// As its configuration counts them.
    package var trainingFLOPsPerToken: Double { configuration.trainingFLOPsPerToken }
}
