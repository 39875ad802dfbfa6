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
    ///   - options: how text is prepared when that is needed
    /// - Throws: `RecipeError` for settings that do not fit, `DataError` and `FormatError` for files that cannot be used,
    ///   `DataPreparation.Interrupted`.
    package init(
        _ recipe: Recipe, vocabulary: Int, folder: String, options: DataPreparation.Options = .init()
    ) throws {
        switch recipe.data.task {
        case .recall: try self.init(recall: recipe, vocabulary: vocabulary)
        case .text: try self.init(text: recipe, vocabulary: vocabulary, folder: folder, options: options)
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

    private init(
        text recipe: Recipe, vocabulary: Int, folder: String, options: DataPreparation.Options
    ) throws {
        let tokenizer = try Self.tokenizer(recipe)
        guard tokenizer.vocabularySize <= vocabulary else {
            throw RecipeError(
                "is \(vocabulary), but the tokenizer has \(tokenizer.vocabularySize) tokens; make it at least that",
                key: "model.vocab_size")
        }
        let data = try DataSources(
            Self.settings(recipe, options), tokenizer: tokenizer, folder: folder)
        source = try data.loader(
            PackedLoader.Settings(
                rows: recipe.data.batch, length: recipe.data.length, resets: recipe.data.documentResets,
                shuffle: recipe.data.shuffle, seed: UInt64(recipe.run.seed)))
        evaluation = data.validation.map { PackedEvaluation($0, resets: recipe.data.documentResets) }
        bytesPerToken = data.validation.flatMap { held in
            held.textBytes.map { Double($0) / Double(max(1, held.tokenCount)) }
        }
        self.tokenizer = tokenizer
        manifest = data.manifests.count == 1 ? data.manifests[0] : nil
        notes = ["data: \(data.summary)"] + data.manifests.flatMap { $0.report.findings.map { "data: \($0)" } }
    }

    /// The tokenizer of a recipe.
    package static func tokenizer(_ recipe: Recipe) throws -> any Tokenizer {
        guard recipe.data.tokenizer != "byte" else {
            return try ByteTokenizer(endOfDocument: recipe.data.endOfDocument)
        }
        return try TokenizerFile.load(from: recipe.data.tokenizer)
    }

    /// What the recipe's section `data` names.
    private static func settings(
        _ recipe: Recipe, _ options: DataPreparation.Options
    ) throws -> DataSources.Settings {
        let data = recipe.data
        var (names, weights) = (data.train, data.weights)
        if let path = data.mixture {
            guard names.isEmpty, weights.isEmpty else {
                throw RecipeError(
                    "names all sources with their weights; give data.train and data.weights or this",
                    key: "data.mixture")
            }
            let mixture = try MixtureDescription(contentsOf: path)
            (names, weights) = (mixture.sources.map(\.path), mixture.sources.map(\.weight))
        }
        guard !names.isEmpty else {
            throw RecipeError(
                "names no training data; give text, prepared folders or packed files", key: "data.train")
        }
        guard weights.isEmpty || weights.count == names.count else {
            throw RecipeError(
                "has \(weights.count) numbers for the \(names.count) entries of data.train; give one each, or none",
                key: "data.weights")
        }
        return DataSources.Settings(
            training: names, weights: weights, validation: data.validation,
            preparation: DataPreparation.Settings(
                reading: DocumentReader.Settings(textField: data.field, malformedLimit: data.malformedLimit),
                split: data.split, validationShare: data.validationFraction),
            separator: data.separator.map { PackedFile.Separator(Int32(clamping: $0), ends: data.separatorEnds) },
            options: options)
    }
}
