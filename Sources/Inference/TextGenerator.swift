import GDNModels
import GDNTokenizers

/// Continues texts: a model, its tokenizer and stop strings.
public struct TextGenerator {
    private let model: LanguageModel
    private let tokenizer: any Tokenizer
    private let form: DecodingForm

    /// A generator of texts.
    /// - Parameter form: which kernels a GPU takes for a token
    public init(model: LanguageModel, tokenizer: any Tokenizer, form: DecodingForm = .fused) {
        self.model = model
        self.tokenizer = tokenizer
        self.form = form
    }

    /// Continues a prompt, handing out text as soon as it is certain: never half a character, never a part of a stop
    /// string.
    /// - Parameters:
    ///   - prompt: text of at least one token
    ///   - options: how tokens are drawn
    ///   - limit: at most this many tokens
    ///   - stops: the text ends before the first of these
    ///   - emit: receives the pieces; returns whether to go on
    /// - Returns: number of tokens drawn
    /// - Throws: `InferenceError` for an empty prompt or an option out of range.
    @discardableResult
    public func generate(
        _ prompt: String, options: SamplingOptions = SamplingOptions(), limit: Int = 256, stops: [String] = [],
        emit: (String) throws -> Bool
    ) throws -> Int {
        var stopTokens: Set<Int32> = []
        if let end = tokenizer.endOfDocument { stopTokens.insert(end) }
        let generation = try Generation(
            model: model, prompt: tokenizer.encodePrompt(prompt), options: options, limit: limit,
            stopTokens: stopTokens, form: form)
        var iterator = generation.makeAsyncIterator()
        var decoder = StreamingDecoder(tokenizer, continuing: !prompt.isEmpty)
        var scanner = StopScanner(stops)
        var count = 0
        while let token = try iterator.nextToken() {
            count += 1
            let piece = scanner.add(decoder.append(token))
            if !piece.isEmpty, !(try emit(piece)) { return count }
            if scanner.stopped { return count }
        }
        let rest = scanner.add(decoder.finish()) + scanner.finish()
        if !rest.isEmpty { _ = try emit(rest) }
        return count
    }
}

/// Holds back text that may be the beginning of a stop string.
package struct StopScanner {
    private let stops: [String]
    private var held = ""
    /// Whether a stop string has come.
    package private(set) var stopped = false

    /// A scanner for these strings; empty ones never stop.
    package init(_ stops: [String]) {
        self.stops = stops.filter { !$0.isEmpty }
    }

    /// Adds text and returns what is certain not to belong to a stop string.
    package mutating func add(_ text: String) -> String {
        guard !stopped else { return "" }
        held += text
        let ranges = stops.compactMap { held.firstRange(of: $0) }
        if let first = ranges.min(by: { $0.lowerBound < $1.lowerBound }) {
            stopped = true
            let safe = String(held[..<first.lowerBound])
            held = ""
            return safe
        }
        let keep = longestHeldSuffix()
        let safe = String(held.dropLast(keep))
        held = String(held.suffix(keep))
        return safe
    }

    /// What was held back, once no more text comes.
    package mutating func finish() -> String {
        defer { held = "" }
        return stopped ? "" : held
    }

    private func longestHeldSuffix() -> Int {
        var longest = 0
        for stop in stops {
            for length in stride(from: min(stop.count - 1, held.count), to: longest, by: -1)
            where held.hasSuffix(stop.prefix(length)) {
                longest = length
                break
            }
        }
        return longest
    }
}
