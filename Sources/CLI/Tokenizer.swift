import ArgumentParser

/// `gdn tokenizer`: everything between text and tokens.
struct TokenizerGroup: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenizer", abstract: "Render chat templates.", subcommands: [TokenizerTemplate.self])
}
