/// The data of a run as its recipe describes them: training batches, held-out batches, tokenizer.
import GDNData
import GDNFormats
import GDNTokenizers

/// What a run trains and evaluates on.
package struct TrainingData {
    /// Training batches, at their beginning.
    package let source: any BatchSource
    /// Held-out batches; nil when nothing is held out.
    package let evaluation: (any EvaluationSource)?
    /// The tokenizer; nil where tokens are no text.
    package let tokenizer: (any Tokenizer)?
    /// Mean bytes of text in a held-out token; nil where tokens are no text.
    package let bytesPerToken: Double?
    /// How the tokens were made; nil for generated data.
    package let manifest: DataManifest?
    /// Sentences for the user: what was read, and what was wrong with it.
    package let notes: [String]

    /// Opens the data of a recipe, preparing tokens where that has not been done.
    /// - Parameters:
    ///   - vocabulary: of the model
    ///   - folder: where prepared tokens lie, unless the recipe says where
    /// - Throws: `RecipeError` for settings that do not fit, `DataError` and `FormatError` for files that cannot be used.
    package init(_ recipe: Recipe, vocabulary: Int, folder: String) throws {
        switch recipe.data.task {
        case .recall: try self.init(recall: recipe, vocabulary: vocabulary)
        case .text: try self.init(text: recipe, vocabulary: vocabulary, folder: folder)
        }
    }

    private init(recall recipe: Recipe, vocabulary: Int) throws {
        let settings = AssociativeRecall.Settings(
            vocabulary: vocabulary, length: recipe.data.length, pairs: recipe.data.recallPairs,
            queries: recipe.data.recallQueries)
        let task = try AssociativeRecall(settings, rows: recipe.data.batch, seed: UInt64(recipe.run.seed))
        (source, evaluation) = (task, task)
        (tokenizer, bytesPerToken, manifest) = (nil, nil, nil)
        notes = [
            "data: associative recall, \(settings.queries) of \(settings.pairs) pairs asked for in \(settings.length) tokens"
        ]
    }

    private init(text recipe: Recipe, vocabulary: Int, folder: String) throws {
        let tokenizer = try Self.tokenizer(recipe)
        guard tokenizer.vocabularySize <= vocabulary else {
            throw RecipeError(
                "is \(vocabulary), but the tokenizer has \(tokenizer.vocabularySize) tokens; make it at least that",
                key: "model.vocab_size")
        }
        guard !recipe.data.train.isEmpty else {
            throw RecipeError("names no training data; give text files, .jsonl files or folders", key: "data.train")
        }
        let data = try Self.prepared(recipe, tokenizer, folder)
        source = try PackedLoader(
            data.training,
            PackedLoader.Settings(
                rows: recipe.data.batch, length: recipe.data.length, resets: recipe.data.documentResets,
                shuffle: recipe.data.shuffle, seed: UInt64(recipe.run.seed)))
        evaluation = data.validation.map { PackedEvaluation($0, resets: recipe.data.documentResets) }
        bytesPerToken = data.validation.flatMap { held in
            held.textBytes.map { Double($0) / Double(max(1, held.tokenCount)) }
        }
        self.tokenizer = tokenizer
        manifest = data.manifest
        let report = data.manifest.report
        let held = data.validation.map { ", \(Readable.count(Double($0.tokenCount))) held out" } ?? ""
        notes =
            ["data: \(report.summary); \(Readable.count(Double(data.training.tokenCount))) tokens to train on\(held)"]
            + report.findings.map { "data: \($0)" }
    }

    /// The tokenizer of a recipe.
    package static func tokenizer(_ recipe: Recipe) throws -> any Tokenizer {
        guard recipe.data.tokenizer != "byte" else {
            return try ByteTokenizer(endOfDocument: recipe.data.endOfDocument)
        }
        return try TokenizerFile.load(from: recipe.data.tokenizer)
    }

    private static func prepared(_ recipe: Recipe, _ tokenizer: any Tokenizer, _ folder: String) throws -> PreparedData
    {
        if recipe.data.train.count == 1, recipe.data.validation.isEmpty,
            (try? DataManifest(folder: recipe.data.train[0])) != nil
        {
            return try PreparedData(folder: recipe.data.train[0], tokenizer: tokenizer)
        }
        let settings = DataPreparation.Settings(
            reading: DocumentReader.Settings(
                textField: recipe.data.field, malformedLimit: recipe.data.malformedLimit),
            split: recipe.data.split, validationShare: recipe.data.validationFraction)
        return try PreparedData.open(
            recipe.data.train, validation: recipe.data.validation, tokenizer: tokenizer, settings: settings, in: folder)
    }
}
