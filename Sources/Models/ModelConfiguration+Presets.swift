extension ModelConfiguration {
    /// Names of the presets, smallest first.
    public static let presetNames = ["tiny", "cpu-8m", "gdn-0.4b", "fla-gdn-340m", "gdn-1.3b", "fla-gdn-1.3b"]

    /// A configuration by name; nil for a name that is none of `presetNames`.
    ///
    /// `gdn-0.4b` and `gdn-1.3b` are the models of the paper, `fla-gdn-…` those of flash-linear-attention;
    /// `tiny` and `cpu-8m` train on a CPU.
    public static func preset(_ name: String) -> ModelConfiguration? {
        var model = ModelConfiguration()
        switch name {
        case "tiny":
            model.setShape(layers: 2, hidden: 64, heads: 2, headDim: 32, mlp: 192, vocabulary: 256)
        case "cpu-8m":
            model.setShape(layers: 6, hidden: 256, heads: 4, headDim: 64, mlp: 768, vocabulary: 4096)
        case "gdn-0.4b":
            model.setShape(layers: 11, hidden: 1536, heads: 9, headDim: 128, mlp: 6144, vocabulary: 32000)
        case "gdn-1.3b":
            model.setShape(layers: 16, hidden: 2400, heads: 9, headDim: 200, mlp: 5888, vocabulary: 32000)
        case "fla-gdn-1.3b":
            break
        case "fla-gdn-340m":
            model.setShape(layers: 21, hidden: 1024, heads: 6, headDim: 256, mlp: nil, vocabulary: 32000)
            model.tieWordEmbeddings = false
        default:
            return nil
        }
        return model
    }

    private mutating func setShape(
        layers: Int, hidden: Int, heads: Int, headDim: Int, mlp: Int?, vocabulary: Int
    ) {
        self.layers = layers
        hiddenSize = hidden
        self.heads = heads
        self.headDim = headDim
        intermediateSize = mlp
        vocabularySize = vocabulary
        tieWordEmbeddings = true
    }
}
