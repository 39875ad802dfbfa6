import Foundation
import GDNTraining
import Testing

@Suite struct RecipeTests {
    private let small = """
        run:
          name: demo   # a comment
        model:
          preset: tiny
          num_heads: 4
        data:
          train: [a.txt, "b c.txt"]
          length: 128
        optimizer:
          lr: 1e-3
          betas: [0.9, 0.99]
          clip: null
        training:
          steps: 1_000
        """

    @Test func readsSectionsAndKeepsDefaults() throws {
        let recipe = try Recipe.parse(small)
        #expect(recipe.run.name == "demo")
        #expect(recipe.model.preset == "tiny")
        #expect(recipe.model.keys == ["num_heads": .int(4)])
        #expect(recipe.data.train == ["a.txt", "b c.txt"])
        #expect(recipe.optimizer.learningRate == 1e-3)
        #expect(recipe.optimizer.betas == [0.9, 0.99])
        #expect(recipe.optimizer.clip == nil)
        #expect(recipe.training.steps == 1000)
        #expect(recipe.optimizer.weightDecay == Recipe().optimizer.weightDecay)
        #expect(recipe.totalSteps == 1000)
        #expect(try Recipe.parse("run: {name: 007}").run.name == "007")
        #expect { try Recipe.parse("run: {name: null}") } throws: { "\($0)".contains("expected text") }
    }

    @Test func resolvedRecipeReadsBackTheSame() throws {
        var recipe = try Recipe.parse(small)
        recipe.training.prompts = ["a: \"b\"\n\tπ", "", "12", "null", "# x", "true", "- y"]
        recipe.run.name = "007"
        recipe.optimizer.epsilon = 1e-300
        for comments in [false, true] {
            let text = recipe.resolvedYAML(comments: comments)
            #expect(try Recipe.parse(text) == recipe)
        }
        for key in Recipe.keys where !key.path.hasPrefix("model.") {
            #expect(recipe.resolvedYAML().contains("  \(key.name): "))
        }
    }

    @Test(arguments: [
        ("optimizer:\n  lrr: 1", "recipe:2: optimizer.lrr: unknown key; did you mean optimizer.lr?"),
        (
            "optimizer:\n  wieght_decay: 1",
            "recipe:2: optimizer.wieght_decay: unknown key; did you mean optimizer.weight_decay?"
        ),
        ("run:\n  name: a\n  batch: 3", "recipe:3: run.batch: unknown key; did you mean data.batch?"),
        ("modell:\n  preset: tiny", "recipe:1: modell: unknown section; did you mean model?"),
        ("data:\n  length: long", "recipe:2: data.length: expected integer ≥ 1, found long"),
        ("data:\n  length: 0", "recipe:2: data.length: expected integer ≥ 1, found 0"),
        ("data:\n  length: \"64\"", "recipe:2: data.length: expected integer ≥ 1, found \"64\""),
        (
            "optimizer:\n  betas: [0.9]",
            "recipe:2: optimizer.betas: expected list of number (two, in [0, 1)), found [0.9]"
        ),
        ("schedule:\n  kind: cosin", "recipe:2: schedule.kind: expected cosine | constant | linear, found cosin"),
        ("run:\n  name: ../x", "recipe:2: run.name: expected text without /, found ../x"),
        ("run: 3", "recipe:1: run: expected keys below this section, found 3"),
        ("- a", "recipe:1: expected sections such as `model:`, found something else"),
        ("model:\n  num_haeds: 4", "recipe:2: model.num_haeds: unknown key; did you mean model.num_heads?"),
        ("run:\n  device: cuda:x", "recipe:2: run.device: expected text cpu | cuda | cuda:N, found \"cuda:x\""),
    ])
    func mistakesAreNamed(text: String, message: String) {
        #expect { try Recipe.parse(text) } throws: { "\($0)" == message }
    }

    @Test func brokenYAMLIsNamed() {
        #expect { try Recipe.parse("run: [1", file: "x.yaml") } throws: { error in
            error is RecipeError && "\(error)".hasPrefix("x.yaml: not YAML")
        }
        #expect { try Recipe.load("/nowhere/x.yaml") } throws: { "\($0)".contains("/nowhere/x.yaml: cannot be read") }
    }

    @Test func commandLineGoesOverTheFile() throws {
        let overrides = try RecipeOverride.parse([
            "--optimizer.lr", "3e-4", "--training.eval_lengths=128,256", "--training.prompts", "To be, or not",
            "--run.name", "007", "--optimizer.clip", "null", "--run.seed", "7", "--data.train", "[x.txt, y.txt]",
        ])
        let recipe = try Recipe.parse(small, overrides: overrides)
        #expect(recipe.optimizer.learningRate == 3e-4)
        #expect(recipe.training.evaluationLengths == [128, 256])
        #expect(recipe.training.prompts == ["To be, or not"])
        #expect(recipe.run.name == "007")
        #expect(recipe.run.seed == 7)
        #expect(recipe.data.train == ["x.txt", "y.txt"])
        #expect { try Recipe.parse(small, overrides: [RecipeOverride("optimizer.lr", "fast")]) } throws: {
            "\($0)" == "command line: --optimizer.lr: optimizer.lr: expected number > 0, found fast"
        }
        #expect { try RecipeOverride.parse(["--verbose"]) } throws: { "\($0)".contains("--section.key value") }
        #expect { try RecipeOverride.parse(["--run.name"]) } throws: { "\($0)".contains("needs a value") }
    }

    @Test func keysAreUniqueAndDefaultsObeyTheirRules() throws {
        #expect(Set(Recipe.keys.map(\.path)).count == Recipe.keys.count)
        #expect(try Recipe.parse(Recipe().resolvedYAML()) == Recipe())
        for key in Recipe.keys { #expect(Recipe.keyTable.contains("`\(key.path)`")) }
    }
}
