import ArgumentParser
import GatedDeltaNet

/// `gdn train`: trains a model as a recipe says.
struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model as a recipe says.",
        discussion: """
            Every key of the recipe can be set as --section.key value, e.g. --optimizer.lr 1e-3; gdn config keys lists
            them. The run lives in run.folder/run.name: checkpoints, metrics.jsonl, TensorBoard events, recipe.yaml.
            SIGINT or SIGTERM ends it after the present step with a checkpoint (exit status 130).
            """)

    @Argument(help: "Recipe, a YAML file; see Recipes.")
    var recipe: String

    @Option(help: "Go on from a checkpoint: auto (the latest sound one), never, or the path of one.")
    var resume = "never"

    @Flag(help: "Remove the run that is in the folder first.")
    var overwrite = false

    @Option(help: "Start from the weights of this model folder.")
    var initFrom: String?

    @Flag(help: "Print the resolved recipe, parameters, memory, steps and time, and stop.")
    var dryRun = false

    @Argument(parsing: .allUnrecognized, help: "--section.key value …")
    var overrides: [String] = []

    func run() throws {
        let recipe = try Recipe.load(recipe, overrides: RecipeOverride.parse(overrides))
        let options = TrainingOptions(
            resume: ResumeMode(resume), overwrite: overwrite, initFrom: initFrom, command: CommandLine.arguments)
        let run = try TrainingRun(recipe: recipe, options: options)
        if dryRun { return try Terminal.write(try run.dryRun()) }
        if try run.run() == .interrupted { throw ExitCode(130) }
    }
}
