import ArgumentParser
import GatedDeltaNet

/// The command `gdn`.
@main
struct GDN: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gdn", abstract: "Train, evaluate, score and sample Gated DeltaNet language models.")
}
