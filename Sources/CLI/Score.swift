import ArgumentParser
import FoundationEssentials
import GDNFormats
import GatedDeltaNet

/// `gdn score`: log-probabilities of given texts or tokens.
struct Score: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Score texts: the log-probability of each token given those before it.",
        discussion: """
            Input lines are {"text": …} or {"tokens": […]}; output lines are {"tokens": […], "logprobs": [null, …]},
            natural logarithms, in the same order. A malformed line is an error that names it.
            """)

    @OptionGroup var device: DeviceOptions

    @Option(help: "Model folder.")
    var model: String

    @Option(help: "JSON lines to read; - is standard input.")
    var input: String

    @Option(help: "JSON lines to write; replaced when it is complete.")
    var output: String

    func run() throws {
        let data = try requests()
        let scorer = Scorer(model: try ModelFolder.load(model, backend: device.makeBackend()))
        let tokenizer = try? TokenizerFile.load(from: model)
        try OutputFile.replace(output) { file in
            for (index, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .enumerated()
            where !line.isEmpty {
                let place = "\(input):\(index + 1)"
                let request = try line.withUnsafeBytes { try JSONValue(parsing: $0, file: place) }
                do {
                    let tokens = try tokens(of: request, tokenizer)
                    let scores = try scorer.logProbabilities(tokens)
                    try file.write(Array((Self.response(tokens, scores).text() + "\n").utf8))
                } catch let error as InferenceError {
                    throw InferenceError("\(place): \(error.message)")
                }
            }
        }
    }

    private func requests() throws -> Data {
        if input == "-" {
            var data = Data()
            try TextSource(input).read { data.append(contentsOf: $0) }
            return data
        }
        guard let data = FileManager.default.contents(atPath: input) else {
            throw InferenceError("\(input): no such file, or it cannot be read; - reads standard input")
        }
        return data
    }

    private static func response(_ tokens: [Int32], _ scores: [Float?]) -> JSONValue {
        // The shortest digits that give the same single again, not the double's.
        let numbers = scores.map { score in score.flatMap { Double("\($0)") }.map(JSONValue.number) ?? .null }
        return .object(["tokens": .array(tokens.map { .integer(Int($0)) }), "logprobs": .array(numbers)])
    }

    private func tokens(of request: JSONValue, _ tokenizer: (any Tokenizer)?) throws -> [Int32] {
        if let list = request["tokens"]?.array {
            return try list.map { item in
                guard let token = item.integer.flatMap({ Int32(exactly: $0) }) else {
                    throw InferenceError("tokens holds \(item.text()), expected whole numbers")
                }
                return token
            }
        }
        guard let text = request["text"]?.string else {
            throw InferenceError("expected {\"text\": …} or {\"tokens\": […]}")
        }
        guard let tokenizer else {
            throw InferenceError("\(model) has no tokenizer: give {\"tokens\": […]} instead of text")
        }
        return tokenizer.encode(text)
    }
}
