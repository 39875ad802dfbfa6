import ArgumentParser
import FoundationEssentials
import GatedDeltaNet

/// `gdn generate`: continues a prompt.
struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text with a model.",
        discussion: "Text is printed as it is made. Memory does not grow with its length.")

    @OptionGroup var device: DeviceOptions
    @OptionGroup var decoding: DecodingOptionGroup

    @Option(help: "Model folder: config.json, model.safetensors and the tokenizer's file.")
    var model: String

    @Option(help: "Text to continue.")
    var prompt: String

    @Option(help: "At most this many tokens.")
    var maxTokens = 256

    @Option(help: "Divides the logits; 0 takes the most likely token.")
    var temperature: Float = 1

    @Option(help: "Keep this many of the most likely tokens; 0 keeps all.")
    var topK = 0

    @Option(help: "Keep the most likely tokens up to this total probability.")
    var topP: Float = 1

    @Option(help: "Drop tokens less likely than this share of the most likely.")
    var minP: Float = 0

    @Option(help: "Above 1 makes tokens already seen less likely.")
    var repetitionPenalty: Float = 1

    @Option(help: "Seed of the draws.")
    var seed: UInt64 = 0

    @Option(help: "Stop before this string; may be given more than once.")
    var stop: [String] = []

    @Flag(help: "Do not repeat the prompt.")
    var noEcho = false

    private var options: SamplingOptions {
        SamplingOptions(
            temperature: temperature, topK: topK, topP: topP, minP: minP, repetitionPenalty: repetitionPenalty,
            seed: seed)
    }

    func validate() throws {
        do {
            try options.validate()
        } catch let error as InferenceError {
            throw ValidationError(error.message)
        }
    }

    func run() throws {
        let backend = try device.makeBackend(overlapsKernels: decoding.overlapKernels)
        let tokenizer = try textTokenizer(of: self.model)
        let model = try ModelFolder.load(model, backend: backend)
        let start = ContinuousClock.now
        if !noEcho { try Terminal.write(prompt) }
        let count = try TextGenerator(model: model, tokenizer: tokenizer, form: decoding.form).generate(
            prompt, options: options, limit: maxTokens, stops: stop
        ) { piece in
            try Terminal.write(piece)
            return true
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try Terminal.write("\n")
        Terminal.note("\(count) tokens, \(Readable.number(Double(count) / seconds)) tokens/s")
    }
}
