import ArgumentParser
import GatedDeltaNet

/// `gdn config`: shows and checks recipes.
struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show or check a recipe.", subcommands: [Show.self, Validate.self, Keys.self])

    /// `gdn config show`
    struct Show: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the complete recipe: defaults, preset and overrides resolved.")

        @Argument(help: "Recipe, a YAML file.")
        var recipe: String

        @Flag(help: "Follow each key with its type and meaning.")
        var comments = false

        @Argument(parsing: .allUnrecognized, help: "--section.key value …")
        var overrides: [String] = []

        func run() throws {
            let recipe = try Recipe.load(recipe, overrides: RecipeOverride.parse(overrides))
            try Terminal.write(try recipe.resolved(comments: comments))
        }
    }

    /// `gdn config validate`
    struct Validate: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Check a recipe without training.")

        @Argument(help: "Recipe, a YAML file.")
        var recipe: String

        @Argument(parsing: .allUnrecognized, help: "--section.key value …")
        var overrides: [String] = []

        func run() throws {
            let checked = try Recipe.load(recipe, overrides: RecipeOverride.parse(overrides))
            try checked.validate()
            _ = try checked.modelConfiguration()
            Terminal.note("\(recipe): valid")
        }
    }

    /// `gdn config keys`
    struct Keys: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print a table of all recipe keys with type, default and meaning (Markdown).")

        func run() throws {
            try Terminal.write(Recipe.keyTable)
        }
    }
}
