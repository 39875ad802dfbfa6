/// The table of all recipe keys: the one place where their names, types and meanings are written down.

extension Recipe {
    /// All keys in the order in which `gdn config show` prints them.
    public static let keys: [RecipeKey] = runKeys + modelKeys + dataKeys + optimizerKeys + trainingKeys + checkpointKeys

    private static let runKeys = [
        RecipeKey("run.name", \.run.name, "name of the run; its folder is run.folder/run.name", .oneName),
        RecipeKey("run.folder", \.run.folder, "folder that holds runs"),
        RecipeKey("run.seed", \.run.seed, "seed of initial weights, data order and samples", .natural),
        RecipeKey("run.threads", \.run.threads, "threads to compute on; null: all processors", .positive),
        RecipeKey("run.device", \.run.device, "where to compute", .device),
        RecipeKey("run.dtype", \.run.dtype, "arithmetic; weights and moments stay float32"),
        RecipeKey("run.tf32", \.run.tf32, "on a GPU, float32 matrix products may round their operands to TF32"),
    ]

    private static let modelKeys =
        [
            RecipeKey("model.preset", \.model.preset, "start from a named shape, e.g. gdn-0.4b"),
            RecipeKey("model.config", \.model.config, "start from a config.json, or a folder that holds one"),
            RecipeKey("model.init", \.model.scheme, "how weights are drawn"),
        ] + ModelKeys.all.map { RecipeKey(model: $0.name, $0.type, $0.help) }

    private static let dataKeys = [
        RecipeKey("data.task", \.data.task, "text from files, or multi-query associative recall made in code"),
        RecipeKey(
            "data.train", \.data.train,
            "training data: text, JSON lines, Parquet, folders of them; prepared folders; packed .bin files"),
        RecipeKey(
            "data.weights", \.data.weights, "weights of the entries of data.train, mixed by rows; empty: all in one",
            .positive),
        RecipeKey("data.mixture", \.data.mixture, "file of gdn data mix that names sources and weights"),
        RecipeKey("data.validation", \.data.validation, "validation data; empty: split off the training data"),
        RecipeKey(
            "data.validation_fraction", \.data.validationFraction, "share of the training data split off",
            .properShare),
        RecipeKey("data.split", \.data.split, "held out: the tail of every document, or whole documents"),
        RecipeKey("data.field", \.data.field, "field of the text in JSON lines"),
        RecipeKey("data.tokenizer", \.data.tokenizer, "byte, or the folder or file of a tokenizer"),
        RecipeKey("data.end_of_document", \.data.endOfDocument, "byte tokenizer: token 256 ends every document"),
        RecipeKey("data.cache", \.data.cache, "folder of the prepared tokens; null: data in the run's folder"),
        RecipeKey("data.length", \.data.length, "tokens in a training sequence", .positive),
        RecipeKey("data.batch", \.data.batch, "sequences in one micro-batch", .positive),
        RecipeKey("data.prefetch", \.data.prefetch, "steps' batches made ahead of their use; 0: none", .natural),
        RecipeKey("data.separator", \.data.separator, "packed files: token that marks documents; null: none", .token),
        RecipeKey(
            "data.separator_ends", \.data.separatorEnds, "packed files: that token ends documents, else begins them"),
        RecipeKey("data.shuffle", \.data.shuffle, "windows of the text come in random order"),
        RecipeKey("data.document_resets", \.data.documentResets, "state and convolution restart at every document"),
        RecipeKey(
            "data.malformed_limit", \.data.malformedLimit, "share of malformed records above which the run stops",
            .share),
        RecipeKey("data.recall_pairs", \.data.recallPairs, "recall: key-value pairs in a sequence", .positive),
        RecipeKey("data.recall_queries", \.data.recallQueries, "recall: pairs asked for; null: all", .positive),
    ]

    private static let optimizerKeys = [
        RecipeKey("optimizer.lr", \.optimizer.learningRate, "peak learning rate of AdamW", .positive),
        RecipeKey("optimizer.betas", \.optimizer.betas, "decay rates of the moments", .twoShares),
        RecipeKey("optimizer.eps", \.optimizer.epsilon, "added to the root of the second moment", .positive),
        RecipeKey("optimizer.weight_decay", \.optimizer.weightDecay, "decoupled decay of matrices only", .natural),
        RecipeKey("optimizer.clip", \.optimizer.clip, "largest global gradient norm; null: no clipping", .positive),
        RecipeKey("schedule.kind", \.schedule.kind, "learning rate after the warm-up"),
        RecipeKey("schedule.warmup_tokens", \.schedule.warmupTokens, "tokens over which it rises from 0", .natural),
        RecipeKey(
            "schedule.total_tokens", \.schedule.totalTokens, "tokens at which the minimum is reached; null: at the end",
            .positive),
        RecipeKey("schedule.min_ratio", \.schedule.minimumRatio, "minimum as a share of the peak", .share),
    ]

    private static let trainingKeys = [
        RecipeKey("training.tokens", \.training.tokens, "length of the run in tokens (or steps)", .positive),
        RecipeKey("training.steps", \.training.steps, "length of the run in steps; goes before tokens", .positive),
        RecipeKey("training.accumulation", \.training.accumulation, "micro-batches in one step", .positive),
        RecipeKey("training.recompute", \.training.recompute, "compute blocks twice to save memory"),
        RecipeKey(
            "training.eval_every", \.training.evaluateEvery, "steps between evaluations; 0: at the end", .natural),
        RecipeKey(
            "training.eval_lengths", \.training.evaluationLengths,
            "context lengths evaluated; empty: the training length", .positive),
        RecipeKey(
            "training.eval_tokens", \.training.evaluationTokens, "most validation tokens a length; null: all", .positive
        ),
        RecipeKey("training.sample_every", \.training.sampleEvery, "steps between samples; 0: none", .natural),
        RecipeKey("training.prompts", \.training.prompts, "prompts of the samples"),
        RecipeKey("training.sample_tokens", \.training.sampleTokens, "tokens in a sample", .positive),
        RecipeKey("training.sample_temperature", \.training.sampleTemperature, "0: the likeliest token", .natural),
        RecipeKey("training.log_every", \.training.logEvery, "steps between progress lines and metrics", .positive),
        RecipeKey(
            "training.nan_limit", \.training.nonFiniteLimit,
            "steps without a finite gradient in a row that stop the run",
            .positive),
    ]

    private static let checkpointKeys = [
        RecipeKey("checkpoint.every", \.checkpoint.every, "steps between checkpoints; 0: at the end", .natural),
        RecipeKey("checkpoint.keep_last", \.checkpoint.keepLast, "latest checkpoints kept", .positive),
        RecipeKey("checkpoint.keep_best", \.checkpoint.keepBest, "also keep the one of lowest validation loss"),
    ]
}

/// Keys of the Hugging Face configuration that a recipe may give, over the preset's or the file's.
enum ModelKeys {
    static let all: [(name: String, type: String, help: String)] = [
        ("hidden_size", "integer", "model dim D"),
        ("num_hidden_layers", "integer", "blocks"),
        ("num_heads", "integer", "key heads H"),
        ("num_v_heads", "integer or null", "value heads HV; null: as many as key heads"),
        ("head_dim", "integer", "key dim K of a head"),
        ("expand_v", "number", "value dim V = K × this"),
        ("hidden_ratio", "number", "MLP dim = 256·⌈⌊D·this·2/3⌋/256⌉ when intermediate_size is null"),
        ("intermediate_size", "integer or null", "MLP dim F"),
        ("vocab_size", "integer", "vocabulary W; byte tokenizer: 256 or more"),
        ("tie_word_embeddings", "true or false", "head shares the embedding's matrix"),
        ("norm_eps", "number", "epsilon of the norms"),
        ("conv_size", "integer", "width of the short convolutions"),
        ("allow_neg_eigval", "true or false", "write strength β up to 2"),
        ("use_gate", "true or false", "output gate"),
        ("use_short_conv", "true or false", "short convolutions before the rule"),
        ("initializer_range", "number", "standard deviation of the initial weights"),
        ("bos_token_id", "integer or null", "token before a text"),
        ("eos_token_id", "integer or null", "token after a text"),
        ("use_decay", "true or false", "decay α; false: the delta rule of DeltaNet"),
        ("use_delta_rule", "true or false", "erase before writing; false: gated linear attention (CPU only)"),
        ("use_beta", "true or false", "learned write strength β; false: β = 1"),
        ("use_output_norm", "true or false", "RMSNorm of the mixer's output, per head"),
        ("qk_norm", "l2 | l1 | softmax | none", "normalisation of queries and keys"),
        ("qk_activation", "silu | relu | elu", "activation of queries and keys"),
    ]
}
