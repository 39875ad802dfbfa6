import ArgumentParser
import GatedDeltaNet

/// The command `gdn`.
@main
struct GDN: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gdn", abstract: "Train, evaluate, score and sample Gated DeltaNet language models.",
        subcommands: [
            Train.self, DataCommand.self, Generate.self, Score.self, Evaluate.self, Report.self, Config.self,
            Check.self, Bench.self,
            Doctor.self,
        ])

    /// Runs the subcommand. Exit status: 0 done, 1 failed, 2 usage or configuration, 130 interrupted.
    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            leave(after: error)
        }
    }

    private static func leave(after error: any Error) -> Never {
        let code = exitCode(for: error)
        if code == .success { exit(withError: error) }  // --help and --version
        let message = fullMessage(for: error)
        if !message.isEmpty { Terminal.note(message) }
        let isConfiguration = error is ConfigurationError || error is RecipeError
        Glibc.exit(code == .validationFailure || isConfiguration ? 2 : code.rawValue)
    }
}
