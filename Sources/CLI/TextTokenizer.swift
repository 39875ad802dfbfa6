import GatedDeltaNet

/// The tokenizer of a model folder, for commands that need text.
/// - Throws: `InferenceError` for a model of the recall task, whose tokens stand for no text; what `TokenizerFile` throws.
func textTokenizer(of model: String) throws -> any Tokenizer {
    _ = try ModelFolder.configuration(of: model)  // Says it better where the folder is no model's.
    do {
        return try TokenizerFile.load(from: model)
    } catch {
        guard let state = try? TrainingCheckpoint.state(model), AssociativeRecall.made(state.data) else { throw error }
        throw InferenceError(
            "\(model) was trained on the recall task: it has no tokenizer, its tokens stand for no text; "
                + "score tokens with gdn score, lines {\"tokens\": […]}")
    }
}
