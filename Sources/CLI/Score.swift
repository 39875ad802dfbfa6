import ArgumentParser
import FoundationEssentials
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

    @Option(help: "JSON lines to read.")
    var input: String

    @Option(help: "JSON lines to write; replaced when it is complete.")
    var output: String

    private struct Request: Decodable {
        var text: String?
        var tokens: [Int32]?
    }

    private struct Response: Encodable {
        var tokens: [Int32]
        var logprobs: [Float?]
    }

    func run() throws {
        guard let data = FileManager.default.contents(atPath: input) else {
            throw InferenceError("\(input): no such file, or it cannot be read")
        }
        let scorer = Scorer(model: try ModelFolder.load(model, backend: device.makeBackend()))
        let tokenizer = try? TokenizerFile.load(from: model)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        var lines = Data()
        for (index, line) in data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated()
        where !line.isEmpty {
            do {
                let tokens = try tokens(of: JSONDecoder().decode(Request.self, from: Data(line)), tokenizer)
                lines += try encoder.encode(Response(tokens: tokens, logprobs: scorer.logProbabilities(tokens)))
                lines.append(UInt8(ascii: "\n"))
            } catch let error as InferenceError {
                throw InferenceError("\(input):\(index + 1): \(error.message)")
            } catch is DecodingError {
                throw InferenceError("\(input):\(index + 1): expected {\"text\": …} or {\"tokens\": […]}")
            }
        }
        do {
            try lines.write(to: URL(filePath: output), options: .atomic)
        } catch {
            throw InferenceError("\(output): cannot be written: \(error)")
        }
    }

    private func tokens(of request: Request, _ tokenizer: (any Tokenizer)?) throws -> [Int32] {
        if let tokens = request.tokens { return tokens }
        guard let text = request.text else { throw InferenceError("expected {\"text\": …} or {\"tokens\": […]}") }
        guard let tokenizer else {
            throw InferenceError("\(model) has no tokenizer: give {\"tokens\": […]} instead of text")
        }
        return tokenizer.encode(text)
    }
}
